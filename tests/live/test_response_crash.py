"""Responses whose owner dies or drains, or whose store is away: they end once, with what came."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from app.store import keys
from app.turns import generation
from tests.live.conftest import Serve
from tests.live.test_crash import LEASE_SECONDS, owner
from tests.support.backend import Backend
from tests.support.chunks import chunk, event
from tests.support.process import started
from tests.support.responses import body, create, sdk, streamed, types
from tests.support.store import frozen
from tests.support.turns import PausedScript


@pytest.mark.parametrize("in_conversation", [False, True])
async def test_the_response_of_a_killed_process_is_failed_elsewhere_with_its_text(
    serve: Serve,
    backend: Backend,
    valkey_url: str,
    redis: Redis,
    tmp_path: Path,
    in_conversation: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with (
        serve(turn_lease_seconds=LEASE_SECONDS) as elsewhere,
        sdk(elsewhere) as ask,
        owner(tmp_path, backend, valkey_url) as (service, client),
    ):
        conversation = await ask.conversations.create()
        extra = {"conversation": conversation.id} if in_conversation else {}
        created = await create(client, background=True, **extra)
        turn_id = created["id"].removeprefix("resp_")
        while not await redis.xrange(keys.events(turn_id), min="1-0", count=1):
            await asyncio.sleep(0.01)
        following = asyncio.create_task(streamed(elsewhere, created["id"]))
        service.process.kill()
        stream = await following
        assert types(stream)[-2:] == ["error", "response.failed"]
        final = json.loads(stream.rsplit(b"data: ", 1)[1])["response"]
        found = await ask.responses.retrieve(created["id"])
        assert (found.status, found.output_text) == ("failed", "Hel")
        assert found.error is not None
        assert "generation_lost" in found.error.message
        assert (await elsewhere.get(f"/v1/responses/{created['id']}")).json() == final
        assert await streamed(elsewhere, created["id"]) == stream
        if in_conversation:
            items: Any = [item async for item in ask.conversations.items.list(conversation.id, order="asc")]
            assert [item.content[0].text for item in items] == ["Hi", "Hel"]


async def test_a_response_that_cannot_be_stored_is_not_completed(
    serve: Serve, backend: Backend, own_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "STORE_WAIT_SECONDS", 0.5)
    backend.script = script = PausedScript(event(chunk("Hel")))
    async with (
        serve(redis_url=own_store) as client,
        client.stream("POST", "/v1/responses", json=body(stream=True)) as response,
    ):
        parts = response.aiter_bytes()
        seen = b""
        while b"output_text.delta" not in seen:
            seen += await anext(parts)
        async with frozen(own_store):
            script.go_on.set()
            seen += b"".join([part async for part in parts])
    assert types(seen)[-2:] == ["error", "response.failed"]
    assert b"history_unavailable" in seen


async def test_a_response_in_the_background_is_drained(
    serve: Serve, backend: Backend, valkey_url: str, tmp_path: Path
) -> None:
    backend.script = script = PausedScript(event(chunk("Hel")))
    settings = {"llm_base_url": backend.url, "llm_model": "test-model", "redis_url": valkey_url}
    async with serve() as elsewhere, started(tmp_path, **settings) as (service, client):
        created = await create(client, background=True)
        service.process.send_signal(signal.SIGTERM)
        await service.logged("draining")
        script.go_on.set()
        assert await service.ended() == 0
        found = (await elsewhere.get(f"/v1/responses/{created['id']}")).json()
    assert found["status"] == "completed"
