"""Redis frozen or gone, at the start and at the end of a turn: a clear end, and nothing lost or doubled."""

import asyncio
import socket
import time

import pytest
from redis.asyncio import Redis

from app.turns import generation
from tests.live.conftest import Serve
from tests.support.backend import Backend
from tests.support.chunks import chunk, event
from tests.support.sse import Received, chat, events
from tests.support.store import frozen, stored_messages
from tests.support.turns import PausedScript


def refused() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"redis://127.0.0.1:{closed.getsockname()[1]}/0"


async def contents(url: str) -> list[str]:
    async with Redis.from_url(url) as redis:
        return [message["content"] for message in await stored_messages(redis, "user")]


async def test_a_refused_store_is_a_503_within_three_seconds_and_the_process_stays_alive(
    serve: Serve,
) -> None:
    async with serve(redis_url=refused()) as client:
        began = time.monotonic()
        response = await client.post("/chat", json={"user_id": "user", "message": "Hi"})
        assert time.monotonic() - began < 3
        assert (response.status_code, response.json()["error"]["code"]) == (503, "history_unavailable")
        assert response.headers["retry-after"]
        assert (await client.get("/health")).status_code == 200
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["checks"]["redis"]["status"]) == (503, "down")


async def test_a_frozen_store_is_one_too_and_the_backend_is_not_asked(
    serve: Serve, backend: Backend, own_store: str
) -> None:
    async with serve(redis_url=own_store) as client, frozen(own_store):
        began = time.monotonic()
        responses = await asyncio.gather(
            *(client.post("/chat", json={"user_id": "user", "message": "Hi"}) for _ in range(20))
        )
        assert time.monotonic() - began < 3.5
        assert {response.json()["error"]["code"] for response in responses} == {"history_unavailable"}
    assert backend.completions == []


async def test_an_end_that_meets_a_frozen_store_waits_for_it_and_is_stored_once(
    serve: Serve, backend: Backend, own_store: str
) -> None:
    backend.script = answer = PausedScript(event(chunk("Hello")))
    received: list[Received] = []
    async with (
        serve(redis_url=own_store) as client,
        client.stream("POST", "/chat", json={"user_id": "user", "message": "Hi"}) as response,
    ):
        stream = events(response)
        received.append(await anext(stream))
        async with frozen(own_store):
            answer.go_on.set()
            received.append(await anext(stream))
            end = asyncio.ensure_future(anext(stream))
            # Longer than one command and its retry may take, so that the append is tried again.
            assert not (await asyncio.wait({end}, timeout=2.5))[0]
        received.append(await end)
    assert received[-1].data == "[DONE]"
    assert await contents(own_store) == ["Hi", "Hello"]


async def test_a_store_that_does_not_come_back_in_time_is_told_and_the_turn_is_stored_all_the_same(
    serve: Serve, backend: Backend, own_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "STORE_WAIT_SECONDS", 0.2)
    backend.script = answer = PausedScript(event(chunk("Hello")))
    async with serve(redis_url=own_store) as client:
        async with client.stream("POST", "/chat", json={"user_id": "user", "message": "Hi"}) as response:
            stream = events(response)
            await anext(stream)
            async with frozen(own_store):
                answer.go_on.set()
                rest = [each async for each in stream]
        assert rest[-1].json["error"]["code"] == "history_unavailable"
        while not (stored := await contents(own_store)):
            await asyncio.sleep(0.02)
        assert stored == ["Hi", "Hello"]
        # The next turn sees it, once.
        answer.go_on.set()
        await chat(client)
    assert [m["content"] for m in backend.completions[-1].body["messages"][1:]] == ["Hi", "Hello", "Hi"]
