"""A cluster, and servers behind sentinels: a master goes in mid-answer, and not a word is lost or doubled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from app.store import keys
from app.store.connection import open_redis
from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange
from tests.support.chunks import DONE, chunk, event
from tests.support.proxy import proxy_to
from tests.support.sse import Received, events
from tests.support.store import running_turns, stored_messages
from tests.support.turns import begin, turn_of
from tests.support.valkey import Replicated, running_cluster, running_sentinels

USERS = [f"user{n}" for n in range(8)]
"""Of a cluster's masters, each has some."""
SET_UPS = {"cluster": running_cluster, "sentinels": running_sentinels}


@pytest.fixture(params=SET_UPS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Replicated]:
    async with SET_UPS[request.param](tmp_path / "store") as store:
        yield store


class Talk:
    """A backend that says a word now and then, until that is enough."""

    def __init__(self) -> None:
        self.is_enough = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.head()
        number = 0
        while not self.is_enough.is_set():
            number += 1
            await exchange.send(event(chunk(f"word{number} ")))
            await asyncio.sleep(0.05)
        await exchange.send(event(chunk(finish_reason="stop")), DONE)


async def test_a_master_that_dies_in_mid_answer_costs_no_word(
    serve: Serve, backend: Backend, store: Replicated
) -> None:
    backend.script = talk = Talk()
    async with serve(redis_url=store.url) as here, serve(redis_url=store.url) as elsewhere:
        asked = await asyncio.gather(*(begun(begin(here, user)) for user in USERS))
        followed = await asyncio.gather(*(begun(following(elsewhere, turn_of(first))) for first, _ in asked))
        await store.kill_master_of(keys.messages(USERS[0], "default"))
        async with asyncio.timeout(10):
            later = await asyncio.gather(*(begun_at_last(here, f"{user} again") for user in USERS))
        talk.is_enough.set()
        answers = await asyncio.gather(*(whole(*each) for each in (*asked, *later)))
        elsewhere_too = await asyncio.gather(*(whole(*each) for each in followed))
    assert elsewhere_too == answers[: len(USERS)]
    async with open_redis(store.url) as redis:
        for user, answer in zip(USERS, answers, strict=False):
            assert answer[-1].data == "[DONE]"
            assert [each.id.rpartition("-")[2] for each in answer[:-1]] == [
                str(n) for n in range(1, len(answer))
            ]
            messages = await stored_messages(redis, user)
            assert [message["role"] for message in messages] == ["user", "assistant"]
            assert messages[1]["content"] == "".join(each.content for each in answer[:-1])
            assert messages[1]["status"] == "complete"
        assert await running_turns(redis) == set()


async def test_a_master_that_hands_over_costs_nothing(
    serve: Serve, backend: Backend, store: Replicated
) -> None:
    backend.script = talk = Talk()
    async with serve(redis_url=store.url) as here:
        asked = await asyncio.gather(*(begun(begin(here, user)) for user in USERS))
        await store.hand_over(keys.messages(USERS[0], "default"))
        talk.is_enough.set()
        answers = await asyncio.gather(*(whole(*each) for each in asked))
    assert {answer[-1].data for answer in answers} == {"[DONE]"}
    async with open_redis(store.url) as redis:
        assert [len(await stored_messages(redis, user)) for user in USERS] == [2] * len(USERS)


async def test_a_server_that_is_the_master_no_more_is_left_also_while_it_answers(tmp_path: Path) -> None:
    async with running_sentinels(tmp_path / "store") as store, open_redis(store.url) as redis:
        await redis.set("chat:test", 1)
        await store.hand_over("chat:test")
        master = await store.master_of("chat:test")
        while (await redis.info("server"))["tcp_port"] != master.port:
            await asyncio.sleep(0.1)


async def test_a_cluster_whose_nodes_have_all_moved_is_found_by_the_address_that_has_stayed(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as before:
        first = await before.enter_async_context(running_cluster(tmp_path / "first"))
        async with (
            proxy_to(("127.0.0.1", first.servers[0].port)) as name,
            open_redis(f"redis+cluster://:{first.servers[0].password}@127.0.0.1:{name.port}") as redis,
            running_cluster(tmp_path / "second") as second,
        ):
            await redis.set("chat:test", 1)
            await before.aclose()
            name.reset()
            name.upstream = ("127.0.0.1", second.servers[0].port)
            assert await redis.get("chat:test") is None


async def begun(stream: AsyncIterator[Received]) -> tuple[Received, asyncio.Task[list[Received]]]:
    """A stream's first event, and what reads the rest of it."""
    first = await anext(stream)

    async def rest() -> list[Received]:
        return [each async for each in stream]

    return first, asyncio.create_task(rest())


async def begun_at_last(
    client: httpx.AsyncClient, user: str
) -> tuple[Received, asyncio.Task[list[Received]]]:
    """The same of a turn that is asked for until it begins."""
    while True:
        try:
            return await begun(begin(client, user))
        except StopAsyncIteration:  # an error's body holds no event
            await asyncio.sleep(0.1)


async def following(client: httpx.AsyncClient, turn_id: str) -> AsyncIterator[Received]:
    async with client.stream("GET", f"/chat/{turn_id}") as response:
        async for each in events(response):
            yield each


async def whole(first: Received, rest: asyncio.Task[list[Received]]) -> list[Received]:
    return [first, *await rest]
