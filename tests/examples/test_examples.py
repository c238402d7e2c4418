"""The examples print a whole answer, each word once, though the line is cut while it comes.

The one for pages is tried in a browser: `tests/web/test_eventsource.py`.
"""

import json
import os
import shutil
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.errors import UpstreamTruncated
from app.main import create_app
from tests.support.backend import Backend, Exchange
from tests.support.chunks import answer
from tests.support.proxy import Proxy, proxy_to
from tests.support.service import serving, settings_for
from tests.support.turns import PausedScript

EXAMPLES = Path(__file__).parents[2] / "examples"
WORDS = [f"word{n}\u2028 " for n in range(200)]
"""With a character at which not only SSE's lines may be thought to end."""
PARTS = [part.replace(rb"\u2028", "\u2028".encode()) for part in answer(*WORDS)]
HALF = len(PARTS) // 2

Command = Callable[[str], list[str]]


@dataclass(frozen=True)
class Example:
    """How to start it with a message, and what of its output is the answer's text."""

    command: Command
    text: Callable[[str], str] = str


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def _curl(message: str) -> list[str]:
    _program("curl")
    body = json.dumps({"user_id": "user123", "message": message})
    return [_program("bash"), str(EXAMPLES / "curl.sh"), body]


def _httpx(message: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / "client.py"), message]


def _node(message: str) -> list[str]:
    return [_program("node"), str(EXAMPLES / "node.mjs"), message]


def _openai(message: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / "responses.py"), message]


def _text_of_chunks(lines: str) -> str:
    chunks = [json.loads(line) for line in lines.split("\n") if line]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


@pytest.fixture(
    params=[Example(_curl, _text_of_chunks), Example(_httpx), Example(_node), Example(_openai)],
    ids=["curl", "httpx", "node", "openai"],
)
def example(request: pytest.FixtureRequest) -> Example:
    found: Example = request.param
    return found


@pytest.fixture
async def proxy(backend: Backend, valkey_url: str) -> AsyncIterator[Proxy]:
    """A line to the service that can be cut."""
    app = create_app(settings_for(llm_base_url=backend.url, redis_url=valkey_url))
    async with serving(app) as client, proxy_to(("127.0.0.1", client.base_url.port or 0)) as proxy:
        yield proxy


@asynccontextmanager
async def _started(
    example: Example, proxy: Proxy, message: str = "Hello", model: str = "test-model"
) -> AsyncIterator[Process]:
    # No proxy that the environment names stands between.
    url = f"http://127.0.0.1:{proxy.port}"
    environment = {"PATH": os.environ["PATH"], "CHAT_URL": url, "CHAT_MODEL": model}
    process = await create_subprocess_exec(
        *example.command(message), env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_text_is_whole_though_the_line_is_cut_within_an_event_and_between_two(
    example: Example, proxy: Proxy, backend: Backend
) -> None:
    backend.script = held = PausedScript(*PARTS[:HALF], rest=tuple(PARTS[HALF:]))
    proxy.slice_bytes = 7
    async with _started(example, proxy) as process:
        assert process.stdout is not None
        printed = await process.stdout.readuntil(b"word0")
        proxy.reset()
        # The second half is held back, so a client that has read this far is between two events.
        printed += await process.stdout.readuntil(f"word{HALF - 2}".encode())
        proxy.refuse()
        proxy.reset()
        held.go_on.set()
        await proxy.accept()
        rest, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert example.text((printed + rest).decode()) == "".join(WORDS)
    assert len(backend.completions) == 1


async def test_an_answer_that_is_not_whole_is_told_from_one_that_is(
    example: Example, proxy: Proxy, backend: Backend
) -> None:
    async def breaks_off(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*PARTS[:HALF])

    backend.script = breaks_off
    async with _started(example, proxy) as process:
        printed, errors = await process.communicate()
    assert process.returncode == 1
    assert example.text(printed.decode()) == "".join(WORDS[: HALF - 1])
    assert UpstreamTruncated.default_message in errors.decode()


async def test_a_question_that_is_refused_is_not_asked_again(
    example: Example, proxy: Proxy, backend: Backend
) -> None:
    async with _started(example, proxy, message=" ", model="unknown") as process:
        printed, errors = await process.communicate()
    assert (process.returncode, printed) == (1, b"")
    assert errors
    assert not backend.completions
