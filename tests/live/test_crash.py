"""Processes that die, stop or lose Redis: every turn is closed once, with what was written down."""

import asyncio
import json
import os
import random
import signal
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.store import keys
from app.turns import engine
from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, says
from tests.support.chunks import DONE, answer, chunk, event
from tests.support.process import ServiceProcess, started
from tests.support.sse import Received, chat, events
from tests.support.store import frozen, running_turns, stored_messages
from tests.support.turns import PausedScript, begin, follow, raw, turn_of

LEASE_SECONDS = 3
KILLS = int(os.environ.get("TEST_KILLS", "5"))
TURNS = int(os.environ.get("TEST_TURNS", "200"))


async def read(response: httpx.Response) -> list[Received]:
    """What comes, until the line drops or the stream ends."""
    received: list[Received] = []
    try:
        async for each in events(response):
            received.append(each)  # noqa: PERF401 - what came before the line drops is wanted
    except httpx.RemoteProtocolError:
        pass
    return received


def owner(
    cwd: Path, backend: Backend, redis_url: str
) -> AbstractAsyncContextManager[tuple[ServiceProcess, httpx.AsyncClient]]:
    """A process of its own that will lose its turn."""
    return started(
        cwd,
        llm_base_url=backend.url,
        llm_model="test-model",
        redis_url=redis_url,
        turn_lease_seconds=LEASE_SECONDS,
    )


@pytest.mark.parametrize("kill", range(KILLS))
async def test_the_turn_of_a_killed_process_is_closed_elsewhere_and_the_conversation_goes_on(
    serve: Serve, backend: Backend, valkey_url: str, redis: Redis, user: str, tmp_path: Path, kill: int
) -> None:
    words = [event(chunk(f"word{n} ")) for n in range(kill + 1)]
    backend.script = PausedScript(*words)
    key = {"Idempotency-Key": "k"}
    async with (
        serve(turn_lease_seconds=LEASE_SECONDS) as elsewhere,
        owner(tmp_path, backend, valkey_url) as (service, client),
        client.stream("POST", "/chat", json={"user_id": user, "message": "Hi"}, headers=key) as response,
    ):
        mine = asyncio.create_task(read(response))
        turn_id = response.headers["x-turn-id"]
        theirs = asyncio.create_task(follow(elsewhere, turn_id))
        stored = keys.events(turn_id)
        while not await redis.xrange(stored, min=f"{len(words)}-0", count=1):
            await asyncio.sleep(0.01)
        service.process.kill()
        killed = time.monotonic()
        received = await theirs
        assert time.monotonic() - killed < LEASE_SECONDS + 1
        assert [each.content for each in received[:-1]] == [f"word{n} " for n in range(kill + 1)]
        assert received[-1].json["error"]["code"] == "generation_lost"
        assert [each.data for each in await mine] == [each.data for each in received[:-1]]
        again = await asyncio.gather(
            *(
                elsewhere.post("/chat", json={"user_id": user, "message": "Hi"}, headers=key)
                for _ in range(10)
            )
        )
        assert {response.content.count(b"\n\n") for response in again} == {len(received)}
        held = PausedScript(event(chunk("Bye")))
        held.go_on.set()
        backend.script = held
        assert (await chat(elsewhere, "Next", user_id=user))[-1].data == "[DONE]"
    text = "".join(f"word{n} " for n in range(kill + 1))
    assert [(m["content"], m.get("status")) for m in await stored_messages(redis, user)] == [
        ("Hi", None),
        (text, "interrupted"),
        ("Next", None),
        ("Bye", "complete"),
    ]
    assert len(backend.completions) == 2


async def test_a_process_that_was_stopped_for_longer_than_its_lease_writes_nothing_more(
    serve: Serve, backend: Backend, valkey_url: str, redis: Redis, user: str, tmp_path: Path
) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")), rest=tuple(answer("lo")))
    async with (
        serve(turn_lease_seconds=LEASE_SECONDS) as elsewhere,
        owner(tmp_path, backend, valkey_url) as (service, client),
        client.stream("POST", "/chat", json={"user_id": user, "message": "Hi"}) as response,
    ):
        mine = events(response)
        turn_id = turn_of(await anext(mine))
        theirs = asyncio.create_task(follow(elsewhere, turn_id))
        while not await redis.xrange(keys.events(turn_id), min="1-0", count=1):
            await asyncio.sleep(0.01)
        service.process.send_signal(signal.SIGSTOP)
        received = await theirs
        assert received[-1].json["error"]["code"] == "generation_lost"
        held.go_on.set()
        service.process.send_signal(signal.SIGCONT)
        assert [each async for each in mine][-1].json["error"]["code"] == "generation_lost"
        assert (await follow(elsewhere, turn_id))[:-1] == received[:-1]
    assert [m["content"] for m in await stored_messages(redis, user)] == ["Hi", "Hel"]


async def test_while_redis_is_away_no_living_turn_is_closed_and_nothing_is_stored_twice(
    serve: Serve, backend: Backend, own_store: str, user: str
) -> None:
    backend.script = held = PausedScript(
        event(chunk("Hel")), rest=(event(chunk("lo")), event(chunk(finish_reason="stop")))
    )
    replica = {"redis_url": own_store, "turn_lease_seconds": LEASE_SECONDS}
    async with serve(**replica) as here, serve(**replica) as elsewhere:
        mine = begin(here, user)
        turn_id = turn_of(await anext(mine))
        async with elsewhere.stream("GET", f"/chat/{turn_id}") as response:
            theirs = events(response)
            await anext(theirs)
            async with frozen(own_store):
                await asyncio.sleep(2 * LEASE_SECONDS)  # the time away is what is tested
            await asyncio.sleep(LEASE_SECONDS)  # no process may close it now
            assert not backend.completions[0].hung_up.is_set()
            held.go_on.set()
            assert [each async for each in mine][-1].data == "[DONE]"
            assert [each async for each in theirs][-1].data == "[DONE]"
        async with Redis.from_url(own_store) as redis:
            assert [m["content"] for m in await stored_messages(redis, user)] == ["Hi", "Hello"]


@pytest.mark.parametrize("grace", [60, 1])
async def test_a_signal_with_a_hundred_running_streams(
    backend: Backend, valkey_url: str, redis: Redis, user: str, tmp_path: Path, grace: int
) -> None:
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(event(chunk("Hel")))
        await go_on.wait()
        await exchange.send(event(chunk("lo")), event(chunk(finish_reason="stop")), DONE)

    backend.script = script
    async with started(
        tmp_path,
        llm_base_url=backend.url,
        llm_model="test-model",
        redis_url=valkey_url,
        shutdown_grace_seconds=grace,
    ) as (service, client):
        client.timeout = httpx.Timeout(60)
        first_events = asyncio.Queue[None]()

        async def ask(n: int) -> list[Received]:
            received: list[Received] = []
            async for each in begin(client, f"{user}-{n}"):
                received.append(each)
                if len(received) == 1:
                    first_events.put_nowait(None)
            return received

        streams = [asyncio.create_task(ask(n)) for n in range(100)]
        for _ in streams:
            await first_events.get()
        service.process.terminate()
        await service.logged("draining")
        if grace == 60:
            go_on.set()
        ends = [(await stream)[-1].data for stream in streams]
        assert await service.ended() == 0
    if grace == 60:
        assert set(ends) == {"[DONE]"}
    else:
        assert {json.loads(end)["error"]["code"] for end in ends} == {"draining"}
    status, text = ("complete", "Hello") if grace == 60 else ("interrupted", "Hel")
    for n in range(100):
        messages = await stored_messages(redis, f"{user}-{n}")
        assert [(m["content"], m.get("status")) for m in messages] == [("Hi", None), (text, status)]


async def test_turns_whose_clients_vanish_and_come_back_elsewhere_are_each_kept_once(
    serve: Serve, backend: Backend, own_store: str, user: str
) -> None:
    chance = random.Random(7)  # noqa: S311 - a fixed sequence is what is wanted

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        question = exchange.body["messages"][-1]["content"]
        for part in answer(*(f"{question}:{n} " for n in range(10))):
            await exchange.send(part)
            await asyncio.sleep(0.01)

    backend.script = script
    whole = {n: "".join(f"q{n}:{word} " for word in range(10)) for n in range(TURNS)}
    settings = {"redis_url": own_store, "max_active_turns_per_user": 0, "rate_limit_turns_per_minute": 0}
    async with serve(**settings) as here, serve(**settings) as elsewhere:
        at_once = asyncio.Semaphore(20)

        async def visit(n: int) -> None:
            async with at_once:
                mine = begin(here, f"{user}-{n % 10}", message=f"q{n}", conversation_id=f"c{n}")
                received = [await anext(mine)]
                received += [await anext(mine) for _ in range(chance.randrange(11))]
                turn_id = turn_of(received[0])
                await mine.aclose()
                if n % 2:
                    rest = await raw(elsewhere, turn_id, len(received))
                    frames = rest.split(b"\n\n")[:-1]
                    assert frames[-1].endswith(b"data: [DONE]")
                    assert len(received) + len(frames) == 13

        await asyncio.gather(*(visit(n) for n in range(TURNS)))
        async with Redis.from_url(own_store) as redis:
            for n in range(TURNS):
                while len(messages := await stored_messages(redis, f"{user}-{n % 10}", f"c{n}")) < 2:
                    await asyncio.sleep(0.05)
                assert [m["content"] for m in messages] == [f"q{n}", whole[n]]
            assert await running_turns(redis) == set()
            left: dict[str, Any] = {}
            async for key in redis.scan_iter("*"):
                left.setdefault(key.decode().rsplit("}", 1)[1].split(":")[1], key)
            assert set(left) == {"messages", "sizes", "conversations", "closed", "turns", "record", "events"}
    assert len(backend.completions) == TURNS
    assert len([task for task in asyncio.all_tasks() if (task.get_name() or "").startswith("turn ")]) == 0


async def test_a_stall_of_redis_shows_in_no_readers_bytes(
    serve: Serve, backend: Backend, own_store: str, user: str
) -> None:
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for n in range(60):
            await exchange.send(event(chunk(f"word{n} ")))
            await asyncio.sleep(0.05)
        await go_on.wait()
        await exchange.send(event(chunk(finish_reason="stop")), DONE)

    backend.script = script
    async with serve(redis_url=own_store) as here, serve(redis_url=own_store) as elsewhere:
        mine = begin(here, user)
        first = await anext(mine)
        async with elsewhere.stream("GET", f"/chat/{turn_of(first)}") as response:
            theirs = events(response)
            received = [await anext(theirs)]
            async with frozen(own_store):
                # Longer than the time-out of a write and its retry.
                await asyncio.sleep(2.5)
            go_on.set()
            received += [each async for each in theirs]
        assert [first, *[each async for each in mine]] == received
        assert await follow(elsewhere, turn_of(first)) == received


async def test_a_reader_elsewhere_is_told_when_the_store_has_lost_its_turn(
    serve: Serve, backend: Backend, own_store: str, user: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve(redis_url=own_store) as here, serve(redis_url=own_store) as elsewhere:
        mine = begin(here, user)
        turn_id = turn_of(await anext(mine))
        async with elsewhere.stream("GET", f"/chat/{turn_id}") as response:
            theirs = events(response)
            await anext(theirs)
            async with Redis.from_url(own_store) as redis:
                await redis.flushall()
            assert [each async for each in theirs][-1].json["error"]["code"] == "generation_lost"
        assert [each async for each in mine][-1].json["error"]["code"] == "generation_lost"


async def test_damaged_keys_of_one_user_keep_no_other_users_turn_from_being_closed(
    serve: Serve, backend: Backend, own_store: str, tmp_path: Path
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    users = [f"user{n}" for n in range(6)]
    async with (
        serve(redis_url=own_store, turn_lease_seconds=LEASE_SECONDS) as elsewhere,
        Redis.from_url(own_store) as redis,
    ):
        async with owner(tmp_path, backend, own_store) as (service, client):
            turns = {user: turn_of(await anext(begin(client, user))) for user in users}
            for turn_id in turns.values():
                while not await redis.xrange(keys.events(turn_id), min="1-0", count=1):
                    await asyncio.sleep(0.01)
            damaged = min(users, key=lambda user: turns[user])
            await redis.set(f"chat:{{{damaged}}}:messages:default", "damaged")
            service.process.kill()
        for user in users:
            while user != damaged and not await stored_messages(redis, user):
                await asyncio.sleep(0.05)
        backend.script = says("Hello")
        others = [user for user in users if user != damaged]
        assert {(await chat(elsewhere, user_id=user))[-1].data for user in others} == {"[DONE]"}


async def test_a_damaged_journal_harms_no_other_turn(
    serve: Serve, backend: Backend, own_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "LAST_STORE_SECONDS", 0.5)
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with serve(redis_url=own_store) as client, Redis.from_url(own_store) as redis:
        damaged = begin(client, "damaged")
        turn_id = turn_of(await anext(damaged))
        await redis.set(keys.events(turn_id), "damaged")
        other = begin(client, "other")
        await anext(other)
        held.go_on.set()
        assert [each async for each in other][-1].data == "[DONE]"
        await damaged.aclose()
