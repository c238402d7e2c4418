"""However much a user has stored, a read costs what it brings, and an erasure ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend
from tests.support.chunks import chunk, event
from tests.support.proxy import Proxy, proxy_to
from tests.support.sse import chat
from tests.support.turns import PausedScript, begin

TURNS = 500
MESSAGE_BYTES = 64 * 1024
AT = "2026-01-01T00:00:00.000Z"


@pytest.fixture
async def line(valkey_url: str) -> AsyncIterator[Proxy]:
    """The way to the store."""
    address = urlsplit(valkey_url)
    assert address.hostname is not None  # the test store listens on loopback
    assert address.port is not None
    async with proxy_to((address.hostname, address.port)) as proxy:
        yield proxy


async def store_much(redis: Redis, user: str) -> None:
    """A conversation of 64 MB, as a release without HISTORY_MAX_BYTES could write it."""
    text = "x" * MESSAGE_BYTES
    answer = {
        "status": "complete",
        "model": "m",
        "finish_reason": "stop",
        "usage": None,
        "usage_estimated": False,
    }
    for n in range(TURNS):
        both = {"content": text, "turn_id": f"{user}-{n}", "created_at": AT}
        await redis.rpush(
            f"chat:{{{user}}}:messages:default",
            json.dumps({"role": "user", **both}),
            json.dumps({"role": "assistant", **both, **answer}),
        )
    await redis.zadd(f"chat:{{{user}}}:conversations", {"default": 1})


async def test_a_message_of_a_64_mb_conversation_costs_a_bounded_number_of_bytes(
    serve: Serve, redis: Redis, line: Proxy, user: str
) -> None:
    await store_much(redis, user)
    path = f"/users/{user}/conversations/default"
    async with serve(redis_url=f"redis://127.0.0.1:{line.port}") as client:
        before = None
        for n in range(4):
            line.replied_bytes = 0
            response = await client.get(path, params={"limit": 1, **({"before": before} if before else {})})
            (message,) = response.json()["messages"]
            before = response.json()["next_before"]
            assert message["turn_id"] == f"{user}-{TURNS - 1 - n // 2}"
            assert MESSAGE_BYTES < line.replied_bytes < 2 * MESSAGE_BYTES
        line.replied_bytes = 0
        assert (await client.get(f"/users/{user}/conversations")).json()["conversations"][0][
            "message_count"
        ] == 1000
        assert line.replied_bytes < MESSAGE_BYTES
        line.replied_bytes = 0
        whole = (await client.get(path, params={"limit": 200})).json()
        assert line.replied_bytes < 1024 * 1024
        assert whole["next_before"]
    await redis.delete(f"chat:{{{user}}}:messages:default")


async def test_a_question_in_a_64_mb_conversation_reads_what_its_window_holds(
    serve: Serve, backend: Backend, redis: Redis, line: Proxy, user: str
) -> None:
    await store_much(redis, user)
    async with serve(redis_url=f"redis://127.0.0.1:{line.port}", llm_context_tokens=64_000) as client:
        line.replied_bytes = 0
        assert (await chat(client, user_id=user))[-1].data == "[DONE]"
        assert line.replied_bytes < 1024 * 1024
    assert len(backend.completions[-1].body["messages"]) == 4  # the system prompt, one turn, the question
    # The turn has brought the conversation below HISTORY_MAX_BYTES.
    elements: list[Any] = await redis.lrange(f"chat:{{{user}}}:messages:default", 0, -1)
    assert 7 * 1024 * 1024 < sum(map(len, elements)) <= 8 * 1024 * 1024
    await redis.delete(f"chat:{{{user}}}:messages:default")


async def test_a_64_mb_conversation_can_be_erased_over_a_slow_line(
    serve: Serve, redis: Redis, line: Proxy, user: str
) -> None:
    await store_much(redis, user)
    async with serve(redis_url=f"redis://127.0.0.1:{line.port}") as client:
        line.slice_bytes, line.bytes_per_second = 1024, 100_000
        line.replied_bytes = 0
        response = await client.delete(f"/users/{user}", timeout=60)
        assert response.status_code == 204
        assert line.replied_bytes < 256 * 1024
    assert await redis.keys(f"chat:{{{user}}}*") == []


async def test_an_erasure_that_failed_half_way_is_resumed(
    serve: Serve, redis: Redis, line: Proxy, user: str
) -> None:
    await store_much(redis, user)
    key = f"chat:{{{user}}}:messages:default"
    async with serve(redis_url=f"redis://127.0.0.1:{line.port}") as client:
        erasing = asyncio.create_task(client.delete(f"/users/{user}/conversations/default"))
        while await redis.llen(key) == 2 * TURNS:
            await asyncio.sleep(0.001)
        line.refuse()
        line.reset()
        assert (await erasing).status_code == 503
        left = await redis.llen(key)
        assert 0 < left < 2 * TURNS
        await line.accept()
        assert (await client.delete(f"/users/{user}/conversations/default")).status_code == 204
    assert await redis.keys(f"chat:{{{user}}}*") == []


async def test_conversations_of_another_time_to_live_are_listed_and_erased_with_their_user(
    serve: Serve, redis: Redis, user: str
) -> None:
    async with serve(history_ttl_seconds=0) as client:
        await chat(client, user_id=user, conversation_id="a")
    async with serve(history_ttl_seconds=1) as client:
        await asyncio.sleep(1.1)
        await chat(client, user_id=user, conversation_id="b")
        listed = (await client.get(f"/users/{user}/conversations")).json()["conversations"]
        assert [each["conversation_id"] for each in listed] == ["b", "a"]
        await asyncio.sleep(1.1)
        listed = (await client.get(f"/users/{user}/conversations")).json()["conversations"]
        assert [each["conversation_id"] for each in listed] == ["a"]
        assert (await client.delete(f"/users/{user}")).status_code == 204
    assert [key async for key in redis.scan_iter(f"chat:{{{user}}}:[mc]*") if b":closed:" not in key] == []


async def test_all_of_a_users_conversations_are_erased_with_their_turns(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    async with serve() as client:
        turn_ids = [(await chat(client, user_id=user, conversation_id=f"c{n}"))[0].id[:32] for n in range(20)]
        backend.script = PausedScript(event(chunk("Hel")))
        running = begin(client, user, conversation_id="running")
        turn_ids.append((await anext(running)).id[:32])
        assert (await client.delete(f"/users/{user}")).status_code == 204
        assert [each async for each in running][-1].json["error"]["code"] == "conversation_deleted"
        assert {(await client.get(f"/chat/{turn_id}")).status_code for turn_id in turn_ids} == {404}
        assert (await client.get(f"/users/{user}/conversations")).json()["conversations"] == []
    left: list[Any] = await redis.keys(f"chat:{{{user}}}*")
    assert {key.split(b":")[2] for key in left} == {b"closed", b"started-turns"}
    kept: list[Any] = await redis.mget(left)
    assert not any(b"message" in value for value in kept)
