"""A bare machine: a real model and a real store, as `make run` starts them."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from app.embedded.store import embedded_store
from tests.support.process import ServiceProcess, environment, run_to_end, started
from tests.support.sse import Received, events


async def ask(client: httpx.AsyncClient, message: str) -> list[Received]:
    body = {
        "user_id": "user123",
        "message": message,
        "max_tokens": 12,
        "temperature": 0,
        "stream_options": {"include_usage": True},
    }
    async with client.stream("POST", "/chat", json=body) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        return [each async for each in events(response)]


def prompt_tokens(received: list[Received]) -> int:
    tokens: int = received[-2].json["usage"]["prompt_tokens"]
    return tokens


def ports(service: ServiceProcess) -> list[int]:
    """Where the embedded parts listen, as the start has said."""
    model = next(entry for entry in service.log if entry["event"].startswith("embedded model"))
    store = next(entry for entry in service.log if entry["event"].startswith("embedded store"))
    return [int(model["url"].rpartition(":")[2]), store["port"]]


async def gone(port: int) -> None:
    """Wait until nothing listens there any more."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return
        writer.close()
        await asyncio.sleep(0.02)


async def test_a_real_model_streams_and_the_turn_is_remembered_after_a_kill_and_after_a_stop(
    tmp_path: Path,
) -> None:
    async with started(tmp_path) as (service, client):
        assert (await client.get("/ready")).json()["status"] == "ready"
        first = await ask(client, "Hello, who are you?")
        assert first[-1].data == "[DONE]"
        assert sum(bool(each.content) for each in first[:-1]) > 3
        # Valkey writes its file to the disk once a second; to the kernel, which outlives it, at once.
        service.process.kill()
        for port in ports(service):
            await gone(port)
    async with started(tmp_path) as (service, client):
        second = await ask(client, "And now?")
        assert prompt_tokens(second) > prompt_tokens(first)
        service.process.send_signal(signal.SIGINT)
        assert await service.ended() == 0
        for port in ports(service):
            await gone(port)
    async with started(tmp_path) as (service, client):
        port = ports(service)[1]
        async with Redis(port=port) as redis:
            kept = [json.loads(m) for m in await redis.lrange("chat:{user123}:messages:default", 0, -1)]
            assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
    assert [message["content"] for message in kept][::2] == ["Hello, who are you?", "And now?"]
    assert kept[1]["content"] == "".join(each.content for each in first[:-1])


async def test_the_start_says_what_is_embedded_and_that_the_model_is_for_trying_out(tmp_path: Path) -> None:
    async with started(tmp_path) as (service, _):
        said = [entry["event"] for entry in service.log if entry["event"].startswith("embedded")]
    assert len(said) == 2
    assert any("for trying out" in line for line in said)


async def test_a_signal_while_it_starts_ends_it_as_quietly_as_any_other(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "app",
        cwd=tmp_path,
        env=environment(log_format="json"),
        stderr=asyncio.subprocess.PIPE,
    )
    service = ServiceProcess(process)
    store = await service.logged("embedded store")
    process.terminate()
    assert await service.ended() == 0
    await gone(store["port"])


async def test_data_in_use_stop_the_start_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDED_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    with embedded_store(tmp_path / "data"):
        code, written = await run_to_end(tmp_path, log_level="error")
    assert code == 2
    assert written.startswith(f"EMBEDDED_DATA_DIR: {tmp_path / 'data'} is in use by another process")
