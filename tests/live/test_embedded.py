"""A bare machine: a real model and a real store, as `make run` starts them."""

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from redis.asyncio import Redis

from app.embedded.model import MAX_TOKENS
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


async def gone(service: ServiceProcess, data_dir: Path) -> None:
    """Wait until neither the embedded model nor the store listens any more."""
    model = next(entry for entry in service.log if entry["event"].startswith("embedded model"))
    while await is_listening(asyncio.open_connection("127.0.0.1", urlsplit(model["url"]).port)):
        await asyncio.sleep(0.02)
    await store_gone(data_dir)


async def store_gone(data_dir: Path) -> None:
    """Wait until the embedded store does not listen any more."""
    while await is_listening(asyncio.open_unix_connection(data_dir / "store.sock")):
        await asyncio.sleep(0.02)


async def is_listening(opening: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> bool:
    try:
        _, writer = await opening
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    writer.close()
    return True


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
        await gone(service, tmp_path / ".data")
    async with started(tmp_path) as (service, client):
        second = await ask(client, "And now?")
        assert prompt_tokens(second) > prompt_tokens(first)
        service.process.send_signal(signal.SIGINT)
        assert await service.ended() == 0
        await gone(service, tmp_path / ".data")
    async with started(tmp_path), Redis(unix_socket_path=str(tmp_path / ".data" / "store.sock")) as redis:
        kept = [json.loads(m) for m in await redis.lrange("chat:{user123}:messages:default", 0, -1)]
    assert [message["content"] for message in kept][::2] == ["Hello, who are you?", "And now?"]
    assert kept[1]["content"] == "".join(each.content for each in first[:-1])


async def test_a_web_page_cannot_use_the_embedded_model(tmp_path: Path) -> None:
    async with started(tmp_path) as (service, client):
        model = next(entry for entry in service.log if entry["event"].startswith("embedded model"))
        body = {"model": "smollm2-135m-instruct", "messages": [{"role": "user", "content": "Hi"}]}
        async with httpx.AsyncClient(base_url=model["url"]) as page:
            refused = await page.post(
                "/v1/chat/completions", json=body, headers={"Origin": "https://page.test"}
            )
        assert refused.status_code == 401
        assert (await ask(client, "Hello"))[-1].data == "[DONE]"


async def test_an_answer_of_the_embedded_model_has_a_cap(tmp_path: Path) -> None:
    async with started(tmp_path) as (_, client):
        body = {
            "user_id": "user123",
            "message": "Count from 1 to 1000.",
            "max_tokens": 100_000,
            "temperature": 0,
            "stream_options": {"include_usage": True},
        }
        async with client.stream("POST", "/chat", json=body) as response:
            received = [each async for each in events(response)]
    assert received[-2].json["usage"]["completion_tokens"] <= MAX_TOKENS


async def test_the_start_says_what_is_embedded_and_that_the_model_is_for_trying_out(tmp_path: Path) -> None:
    async with started(tmp_path) as (service, _):
        said = {entry["event"]: entry for entry in service.log}
    assert "embedded store started" in said
    assert "for trying out" in said["embedded model started"]["purpose"]


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
    await service.logged("embedded store")
    process.terminate()
    assert await service.ended() == 0
    await store_gone(tmp_path / ".data")


async def test_data_in_use_stop_the_start_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMBEDDED_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    with embedded_store(tmp_path / "data"):
        code, written = await run_to_end(tmp_path, log_level="error")
    assert code == 2
    assert written.startswith(f"EMBEDDED_DATA_DIR: {tmp_path / 'data'} is in use by another process")
