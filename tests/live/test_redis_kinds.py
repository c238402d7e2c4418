"""Redis as people run it: what the service does with one server it does with each kind of set-up."""

import re
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.models import LOST
from app.store import keys
from app.store.connection import open_redis
from app.store.journal import TurnJournal
from tests.live.conftest import Serve
from tests.store.turns import running_turns as turns_of
from tests.store.turns import turn
from tests.support.backend import Backend
from tests.support.certificate import own_certificate
from tests.support.chunks import chunk, event
from tests.support.process import ROOT
from tests.support.proxy import proxy_to
from tests.support.sse import chat, events
from tests.support.store import running_turns, stored_messages
from tests.support.turns import PausedScript, begin, follow, raw, turn_of
from tests.support.valkey import Server, running, running_cluster, running_sentinels


@asynccontextmanager
async def behind_a_unix_socket(folder: Path) -> AsyncIterator[str]:
    path = folder / "valkey.sock"
    server = Server(folder / "server", "--unixsocket", str(path))
    with running(server):
        yield f"unix://:{server.password}@{path}?db=3"


@asynccontextmanager
async def with_tls(folder: Path) -> AsyncIterator[str]:
    server = Server(folder / "server")
    tls, certificate = own_certificate(folder)
    with running(server):
        async with proxy_to(("127.0.0.1", server.port), tls=tls) as proxy:
            yield f"rediss://:{server.password}@127.0.0.1:{proxy.port}/0?ssl_ca_certs={certificate}"


@asynccontextmanager
async def with_the_rights_of_the_handbook(folder: Path) -> AsyncIterator[str]:
    server = Server(folder / "server")
    with running(server):
        async with rights_of_the_handbook([server]):
            yield f"redis://chat:a-password@127.0.0.1:{server.port}/0"


@asynccontextmanager
async def as_a_cluster_with_the_rights_of_the_handbook(folder: Path) -> AsyncIterator[str]:
    async with (
        running_cluster(folder / "store") as cluster,
        rights_of_the_handbook(cluster.servers, "+cluster|slots"),
    ):
        yield re.sub("//.*?@", "//chat:a-password@", cluster.url)


@asynccontextmanager
async def rights_of_the_handbook(servers: Sequence[Server], *further: str) -> AsyncIterator[None]:
    """Add the handbook's user. At the end, check that the service tried nothing beyond its rights."""
    handbook = (ROOT / "docs/operations.md").read_text()
    command = re.search(r"redis-cli (ACL SETUSER chat .*)", handbook)
    assert command is not None
    for server in servers:
        await server.ask(*shlex.split(command[1]), *further)
    yield
    assert [await server.ask("ACL LOG") for server in servers] == [[] for _ in servers]


@asynccontextmanager
async def behind_sentinels(folder: Path) -> AsyncIterator[str]:
    async with running_sentinels(folder / "store") as sentinels:
        yield sentinels.url


KINDS = [
    behind_a_unix_socket,
    with_tls,
    with_the_rights_of_the_handbook,
    as_a_cluster_with_the_rights_of_the_handbook,
    behind_sentinels,
]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    async with request.param(tmp_path) as url:
        yield url


async def test_a_conversation_can_be_had_resumed_interrupted_read_and_erased(
    serve: Serve, backend: Backend, url: str
) -> None:
    settings = {"redis_url": url, "rate_limit_turns_per_minute": 100}
    async with serve(**settings) as here, serve(**settings) as elsewhere:
        assert (await here.get("/ready")).status_code == 200

        answer = await chat(here, user_id="user")
        assert "".join(each.content for each in answer[:-1]) == "Hello, world"
        assert await follow(elsewhere, turn_of(answer[0])) == answer
        assert await raw(elsewhere, turn_of(answer[0]), 2) == await raw(here, turn_of(answer[0]), 2)

        question = {"user_id": "user", "message": "Hi"}
        twice = [
            await client.post("/chat", json=question, headers={"Idempotency-Key": "key"})
            for client in (here, elsewhere)
        ]
        assert twice[0].text == twice[1].text

        backend.script = PausedScript(event(chunk("one")))
        mine = begin(here, "user")
        first = await anext(mine)
        async with elsewhere.stream("GET", f"/chat/{turn_of(first)}") as response:
            theirs = events(response)
            assert await anext(theirs) == first
            busy = await elsewhere.post("/chat", json=question)
            assert (busy.status_code, busy.json()["error"]["code"]) == (409, "conversation_busy")
            stopped = await elsewhere.delete(f"/chat/{turn_of(first)}")
            assert stopped.json()["status"] == "stopped"
            assert [each async for each in theirs] == (rest := [each async for each in mine])
        assert rest[-1].data == "[DONE]"

        mine = begin(here, "user", conversation_id="second")
        await anext(mine)
        backend.script = held = PausedScript(event(chunk("two")))
        other = begin(elsewhere, "user", conversation_id="second", if_busy="interrupt")
        await anext(other)
        assert [each async for each in mine][-1].json["error"]["code"] == "interrupted"
        held.go_on.set()
        assert [each async for each in other][-1].data == "[DONE]"

        listed = (await here.get("/users/user/conversations")).json()["conversations"]
        assert [each["conversation_id"] for each in listed] == ["second", "default"]
        assert [each["message_count"] for each in listed] == [4, 6]
        assert (await here.delete("/users/user/conversations/second")).status_code == 204
        assert (await here.get("/users/user/conversations/second")).status_code == 404
        assert (await here.delete("/users/user")).status_code == 204
        assert (await here.get("/users/user/conversations")).json()["conversations"] == []
    async with open_redis(url) as redis:
        assert await running_turns(redis) == set()


async def test_a_turn_whose_owner_has_died_is_closed(serve: Serve, url: str) -> None:
    async with open_redis(url) as redis:
        running, journal = turns_of(redis), TurnJournal(redis, ttl_seconds=60)
        lost = turn("lost")
        await running.start(lost, fingerprint="", if_busy="reject_if_read", is_limited=True)
        await journal.create(lost, lease_until_ms=1)
        await journal.append({"lost": (1, [b'{"choices":[{"index":0,"delta":{"content":"Hel"}}]}'])})
        await redis.hset(keys.running("user", "default"), "lease_until", "1")
        async with serve(redis_url=url) as client:
            events = await follow(client, "lost")
        assert (events[0].content, events[-1].json["error"]["code"]) == ("Hel", LOST.code)
        assert [message["content"] for message in await stored_messages(redis, "user")] == ["Hi", "Hel"]
        assert await running_turns(redis) == set()


async def test_responses_are_kept_chained_followed_and_erased(
    serve: Serve, backend: Backend, url: str
) -> None:
    async with serve(redis_url=url) as here, serve(redis_url=url) as elsewhere:
        asked = {"model": "test-model", "input": "Hi", "user": "ada"}
        items = [{"role": "user", "content": "I am Ada."}]
        made = await here.post("/v1/conversations", json={"user": "ada", "items": items})
        conversation = made.json()["id"]
        first = (await here.post("/v1/responses", json={**asked, "conversation": conversation})).json()
        await elsewhere.post("/v1/responses", json={**asked, "previous_response_id": first["id"]})
        assert len(backend.completions[-1].body["messages"]) == 4
        listed = (await elsewhere.get(f"/v1/conversations/{conversation}/items?order=asc")).json()["data"]
        assert [item["role"] for item in listed] == ["user", "user", "assistant"]
        newest = f"/v1/conversations/{conversation}/items/{listed[-1]['id']}"
        assert (await here.delete(newest)).status_code == 200
        changed = await here.post(f"/v1/conversations/{conversation}", json={"metadata": {"a": "b"}})
        assert changed.json()["metadata"] == {"a": "b"}

        backend.script = PausedScript(event(chunk("one")))
        running = (await here.post("/v1/responses", json={**asked, "background": True})).json()
        cancelled = await elsewhere.post(f"/v1/responses/{running['id']}/cancel")
        assert cancelled.json()["status"] == "cancelled"
        assert (await elsewhere.get(f"/v1/responses/{running['id']}")).json() == cancelled.json()

        assert (await here.delete("/users/ada")).status_code == 204
        for path in (
            f"responses/{first['id']}",
            f"responses/{running['id']}",
            f"conversations/{conversation}",
        ):
            assert (await elsewhere.get(f"/v1/{path}")).status_code == 404
    async with open_redis(url) as redis:
        assert await running_turns(redis) == set()
