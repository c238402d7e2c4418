"""Two replicas behind nginx, as docker-compose.replicas.yaml starts them: the reader sees one service."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from app.settings import Settings
from tests.compose.containers import Replica, docker, running_replicas
from tests.support.service import client_of
from tests.support.sse import Received, chat, events
from tests.support.turns import begin, follow, turn_of

pytestmark = pytest.mark.compose

LONG = "Say all these words again: " + " ".join(f"word{n}" for n in range(300))
"""A model takes most of a minute to answer, and one that is none may repeat it with a pause at each word."""


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of("http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
async def replicas() -> list[Replica]:
    replicas = await running_replicas()
    assert len(replicas) == 2
    return replicas


def new_user() -> str:
    return uuid.uuid4().hex


async def stored(client: httpx.AsyncClient, user: str) -> Any:
    return (await client.get(f"/users/{user}/conversations/default")).json()


class Persistent:
    """A client that asks a long question, and comes back whenever its line is cut."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.user = new_user()
        self.received: list[Received] = []
        self._client = client
        self._has_begun = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def turn_id(self) -> str:
        await self._has_begun.wait()
        return turn_of(self.received[0])

    async def _read(self) -> None:
        body = {"user_id": self.user, "message": LONG}
        is_cut = await self._takes_in(self._client.stream("POST", "/chat", json=body))
        while is_cut:
            last = self.received[-1]
            headers = {"Last-Event-ID": last.id}
            is_cut = await self._takes_in(
                self._client.stream("GET", f"/chat/{turn_of(last)}", headers=headers)
            )

    async def _takes_in(self, asked: AbstractAsyncContextManager[httpx.Response]) -> bool:
        """Read, and tell whether the line was cut."""
        try:
            async with asked as response:
                assert response.status_code == 200, await response.aread()
                async for each in events(response):
                    self.received.append(each)
                    self._has_begun.set()
        except httpx.RemoteProtocolError:
            return True
        return False


async def keep_busy(client: httpx.AsyncClient, replica: Replica) -> tuple[list[Persistent], list[Persistent]]:
    """Ask until two turns run on this replica, and two elsewhere."""
    here: list[Persistent] = []
    elsewhere: list[Persistent] = []
    while min(len(here), len(elsewhere)) < 2:
        asking = Persistent(client)
        (here if await replica.runs(await asking.turn_id()) else elsewhere).append(asking)
    return here, elsewhere


async def new_turns_succeed(client: httpx.AsyncClient) -> None:
    for _ in range(10):
        assert (await chat(client, "Hi", user_id=new_user()))[-1].data == "[DONE]"


async def test_tokens_come_one_by_one(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/chat", json={"user_id": new_user(), "message": LONG}) as response:
        reads = [read async for read in response.aiter_raw()]
    assert len(reads) > b"".join(reads).count(b"\n\n") / 2


async def test_a_reader_that_leaves_comes_back_to_any_replica_without_gap_or_repeat(
    client: httpx.AsyncClient, replicas: list[Replica]
) -> None:
    async def come_back(last: Received) -> list[Received]:
        headers = {"Last-Event-ID": last.id}
        async with client.stream("GET", f"/chat/{turn_of(last)}", headers=headers) as response:
            return [each async for each in events(response)]

    async def followers() -> list[int]:
        return [sum([await each.followers(place) for each in replicas]) for place in ("here", "elsewhere")]

    before = await followers()
    head: list[Received] = []
    asking = begin(client, new_user(), message=LONG)
    async for each in asking:
        head.append(each)
        if len(head) == 16:
            break
    await asking.aclose()
    tails = await asyncio.gather(*map(come_back, head))
    whole = await follow(client, turn_of(head[0]))
    assert whole[-1].data == "[DONE]"
    for n, tail in enumerate(tails, start=1):
        assert head[:n] + tail == whole
    assert all(now > then for then, now in zip(before, await followers(), strict=True))


async def test_a_replica_that_is_killed_ends_its_own_turns_and_no_others(
    client: httpx.AsyncClient, replicas: list[Replica]
) -> None:
    killed = replicas[0]
    lost, unharmed = await keep_busy(client, killed)
    await docker("kill", killed.container)
    killed_at = time.monotonic()
    try:
        await new_turns_succeed(client)
        for each in lost:
            await each.reading
            assert each.received[-1].json["error"]["code"] == "generation_lost"
        assert time.monotonic() - killed_at < Settings().turn_lease_seconds
        for each in unharmed:
            await each.reading
            assert each.received[-1].data == "[DONE]"
    finally:
        await docker("start", killed.container)
    for each in lost:
        question, answer = (await stored(client, each.user))["messages"]
        assert (question["content"], answer["status"]) == (LONG, "interrupted")
        # Its reader may have had a token more than had been journalled.
        assert "".join(received.content for received in each.received[:-1]).startswith(answer["content"])
    for each in lost + unharmed:
        ids = [received.id.rpartition("-")[2] for received in each.received]
        assert ids == [*map(str, range(1, len(ids))), "end"]
    while not await killed.runs(turn_of((await chat(client, "Hi", user_id=new_user()))[0])):
        pass


async def test_a_replica_that_stops_finishes_its_turns_while_new_ones_go_to_the_other(
    client: httpx.AsyncClient, replicas: list[Replica]
) -> None:
    stopped = replicas[0]
    here, elsewhere = await keep_busy(client, stopped)
    stopping = asyncio.create_task(docker("stop", stopped.container))
    try:
        await new_turns_succeed(client)
        for each in here + elsewhere:
            await each.reading
            assert each.received[-1].data == "[DONE]"
    finally:
        await stopping
        await docker("start", stopped.container)
