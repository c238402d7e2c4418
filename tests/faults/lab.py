"""The service, its backend and its store on real sockets, each line between them through a proxy."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
from redis.asyncio import Redis

from tests.support.backend import Backend, Exchange, Script, says
from tests.support.proxy import Proxy
from tests.support.sse import Received, events
from tests.support.store import Store
from tests.support.turns import turn_of

USER = "user"
QUESTION = "Hi"
NEXT_QUESTION = "Are you still there?"
BOUND_SECONDS = 20.0
"""For what has to come, and is not measured."""


class Lab:
    """What a case acts on, and what it looks at."""

    def __init__(
        self,
        *,
        here: httpx.AsyncClient,
        elsewhere: httpx.AsyncClient,
        backend: Backend,
        backend_line: Proxy,
        store: Store,
        store_line: Proxy,
        redis: Redis,
    ) -> None:
        """Look at what others have started.

        Args:
            here: The service that meets the fault.
            elsewhere: Another process of it, where the case has one; else the same.
            backend: Scripted.
            backend_line: Between the service here and the backend.
            store: A Valkey of this case alone.
            store_line: Between all services and the store.
            redis: A line to the store that no fault is on.
        """
        self.here = here
        self.elsewhere = elsewhere
        self.backend = backend
        self.backend_line = backend_line
        self.store = store
        self.store_line = store_line
        self.redis = redis
        self.struck_at = time.monotonic()
        self.scripts: dict[str, Script] = {NEXT_QUESTION: says("Yes")}
        """The backend's answers, by the question."""
        backend.script = self._answer

    @property
    def pooled_ports(self) -> list[int]:
        """Where connections are kept for later: their number says nothing."""
        return [self.store_line.port, *self.store.ports]

    def strike(self) -> None:
        """From now on the time counts."""
        self.struck_at = time.monotonic()

    async def ask(self, client: httpx.AsyncClient | None = None, **body: Any) -> str:
        """Ask, read to the end, and tell what was seen: a status and a code, or a text and how it ended."""
        request = {"user_id": USER, "message": QUESTION, **body}
        async with (client or self.here).stream("POST", "/chat", json=request) as response:
            if response.status_code != httpx.codes.OK:
                return refusal(response.status_code, response.headers, await response.aread())
            return await as_seen(events(response))

    @asynccontextmanager
    async def mid_answer(
        self, script: Script | None = None, *, client: httpx.AsyncClient | None = None
    ) -> AsyncIterator["OpenTurn"]:
        """A turn whose first event has been read."""
        if script is not None:
            self.scripts[QUESTION] = script
        request = {"user_id": USER, "message": QUESTION}
        async with (
            (client or self.here).stream("POST", "/chat", json=request) as response,
            aclosing(_in_order(events(response))) as stream,
        ):
            yield OpenTurn(await anext(stream), stream)

    async def messages(self) -> list[dict[str, Any]]:
        """The conversation as it is stored."""
        elements = await self.redis.lrange(f"chat:{{{USER}}}:messages:default", 0, -1)
        return [json.loads(element) for element in elements]

    async def stored(self) -> str:
        """What is stored: the text and the status of each answer; its question is there with it."""
        messages = await self.messages()
        assert [each["role"] for each in messages] == ["user", "assistant"] * (len(messages) // 2)
        return ", ".join(_stored_answer(each) for each in messages[1::2]) or "nothing"

    def times_asked(self, question: str) -> int:
        """How often the backend has been asked this."""
        return [_question(exchange) for exchange in self.backend.completions].count(question)

    async def _answer(self, exchange: Exchange) -> None:
        await self.scripts[_question(exchange)](exchange)

    async def keys(self, pattern: str) -> set[bytes]:
        """Every key that is like this."""
        return {key async for key in self.redis.scan_iter(pattern)}


class OpenTurn:
    """A turn that is being read."""

    def __init__(self, first: Received, stream: AsyncGenerator[Received, None]) -> None:
        self.id = turn_of(first)
        self._received = [first]
        self._stream = stream

    async def hears(self, content: str) -> None:
        """The next event comes, and carries this."""
        self._received.append(await anext(self._stream))
        assert self._received[-1].content == content

    async def end(self) -> str:
        """Read to the end, and tell what was seen."""
        return _describe([*self._received, *[each async for each in self._stream]])


def _question(exchange: Exchange) -> str:
    content: str = exchange.body["messages"][-1]["content"]
    return content.rpartition("\n\n")[2]  # a system prompt may stand before it


def refusal(status: int, headers: httpx.Headers, body: bytes) -> str:
    """A status other than 200, as it is told."""
    error = json.loads(body)["error"]
    assert set(error) - {"turn_id"} == {"message", "type", "code", "param", "request_id"}
    assert "://" not in error["message"]
    assert "<" not in error["message"]
    text = f"{status} {error['code']}"
    return f"{text}, Retry-After {headers['retry-after']}" if "retry-after" in headers else text


async def as_seen(stream: AsyncIterator[Received]) -> str:
    """A stream, as it is told."""
    received: list[Received] = []
    try:
        async for each in _in_order(stream):
            received.append(each)  # noqa: PERF401 - what came before the line was cut is wanted
    except httpx.TransportError:
        return _describe(received, end="the line is cut")
    return _describe(received)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process, or another task, does in its own time."""
    async with asyncio.timeout(BOUND_SECONDS):
        while not await is_so():
            await asyncio.sleep(0.01)


def _describe(received: list[Received], end: str = "") -> str:
    last = received[-1] if received else None
    if last is not None and last.id.endswith("-end"):
        received = received[:-1]
        end = last.data if last.data == "[DONE]" else last.json["error"]["code"]
    assert end, "the stream ended without a terminal event"
    text = "".join(each.content for each in received)
    return f"{text or 'no text'}, then {end}"


async def _in_order(stream: AsyncIterator[Received]) -> AsyncGenerator[Received, None]:
    """The events, held against the contract: no gap in their ids, one end, and nothing after it."""
    number, is_over = 0, False
    async for each in stream:
        assert not is_over, "an event after the terminal one"
        place = each.id.rpartition("-")[2]
        is_over = place == "end"
        number += 1
        assert is_over or place == str(number)
        yield each


def _stored_answer(message: dict[str, Any]) -> str:
    text = f"{message['content'] or 'no text'} ({message['status']}"
    is_estimated = message["status"] == "complete" and message["usage_estimated"]
    return f"{text}, usage estimated)" if is_estimated else f"{text})"
