"""The service, its backend and its store on real sockets, with a proxy on each connection."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
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
"""The limit for events that must happen but are not measured."""


class Lab:
    """The set-up of a case: what it acts on and what it observes."""

    def __init__(
        self,
        *,
        here: httpx.AsyncClient,
        elsewhere: httpx.AsyncClient,
        backend: Backend,
        backend_line: Proxy,
        second: Backend | None,
        store: Store,
        store_line: Proxy,
        redis: Redis,
    ) -> None:
        """Observe processes that the caller has started.

        Args:
            here: The service that meets the fault.
            elsewhere: A second process of the service if the case has one, otherwise the same.
            backend: Scripted.
            backend_line: Between the service here and the backend.
            second: Stands in for the backend, if the case has one.
            store: A Valkey of this case alone.
            store_line: Between all services and the store.
            redis: A line to the store that no fault is on.
        """
        self.here = here
        self.elsewhere = elsewhere
        self.backend = backend
        self.backend_line = backend_line
        self.second = second
        self.store = store
        self.store_line = store_line
        self.redis = redis
        self.struck_at = time.monotonic()
        self.scripts: dict[str, Script] = {NEXT_QUESTION: says("Yes")}
        """The backend's answers, by question."""
        self.second_scripts: dict[str, Script] = {NEXT_QUESTION: says("Yes")}
        """The second backend's answers, by question."""
        backend.script = _by_question(self.scripts)
        if second is not None:
            second.script = _by_question(self.second_scripts)

    @property
    def pooled_ports(self) -> list[int]:
        """The ports with pooled connections, whose number says nothing."""
        return [self.store_line.port, *self.store.ports]

    def strike(self) -> None:
        """Start the measured time."""
        self.struck_at = time.monotonic()

    async def ask(self, client: httpx.AsyncClient | None = None, **body: Any) -> str:
        """Ask, read to the end, and describe the response: a status and a code, or a text and its end."""
        request = {"user_id": USER, "message": QUESTION, **body}
        async with (client or self.here).stream("POST", "/chat", json=request) as response:
            if response.status_code != httpx.codes.OK:
                return refusal(response.status_code, response.headers, await response.aread())
            return await as_seen(events(response))

    @asynccontextmanager
    async def mid_answer(
        self, script: Script | None = None, *, client: httpx.AsyncClient | None = None
    ) -> AsyncIterator["OpenTurn"]:
        """Start a turn, and read its first event."""
        if script is not None:
            self.scripts[QUESTION] = script
        request = {"user_id": USER, "message": QUESTION}
        async with (
            (client or self.here).stream("POST", "/chat", json=request) as response,
            aclosing(_in_order(events(response))) as stream,
        ):
            yield OpenTurn(await anext(stream), stream)

    async def messages(self) -> list[dict[str, Any]]:
        """Read the stored conversation."""
        elements = await self.redis.lrange(f"chat:{{{USER}}}:messages:default", 0, -1)
        return [json.loads(element) for element in elements]

    async def stored(self) -> str:
        """Describe each stored answer: its text and status. Check that its question is stored, too."""
        messages = await self.messages()
        assert [each["role"] for each in messages] == ["user", "assistant"] * (len(messages) // 2)
        return ", ".join(_stored_answer(each) for each in messages[1::2]) or "nothing"

    def times_asked(self, question: str) -> tuple[int, int]:
        """Count the requests with this question to the backend, and to the second one."""
        return _count(question, self.backend), _count(question, self.second) if self.second else 0

    async def keys(self, pattern: str) -> set[bytes]:
        """Find the keys that match a pattern."""
        return {key async for key in self.redis.scan_iter(pattern)}


class OpenTurn:
    """A turn with an open reader."""

    def __init__(self, first: Received, stream: AsyncGenerator[Received, None]) -> None:
        self.id = turn_of(first)
        self._received = [first]
        self._stream = stream

    async def hears(self, content: str) -> None:
        """Expect the next event to carry this content."""
        self._received.append(await anext(self._stream))
        assert self._received[-1].content == content

    async def end(self) -> str:
        """Read to the end, and describe what the client saw."""
        return _describe([*self._received, *[each async for each in self._stream]])


def _by_question(scripts: Mapping[str, Script]) -> Script:
    async def script(exchange: Exchange) -> None:
        await scripts[_question(exchange)](exchange)

    return script


def _count(question: str, backend: Backend) -> int:
    return [_question(exchange) for exchange in backend.completions].count(question)


def _question(exchange: Exchange) -> str:
    content: str = exchange.body["messages"][-1]["content"]
    return content.rpartition("\n\n")[2]  # a system prompt may precede it


def refusal(status: int, headers: httpx.Headers, body: bytes) -> str:
    """Describe a response other than 200."""
    error = json.loads(body)["error"]
    assert set(error) - {"turn_id"} == {"message", "type", "code", "param", "request_id"}
    assert "://" not in error["message"]
    assert "<" not in error["message"]
    text = f"{status} {error['code']}"
    return f"{text}, Retry-After {headers['retry-after']}" if "retry-after" in headers else text


async def as_seen(stream: AsyncIterator[Received]) -> str:
    """Describe a stream as its client sees it."""
    received: list[Received] = []
    try:
        async for each in _in_order(stream):
            received.append(each)  # noqa: PERF401 - the events before the cut are needed
    except httpx.TransportError:
        return _describe(received, end="the line is cut")
    return _describe(received)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for the work of another process or task."""
    async with asyncio.timeout(BOUND_SECONDS):
        while not await is_so():
            await asyncio.sleep(0.01)


def _describe(received: list[Received], end: str = "") -> str:
    last = received[-1] if received else None
    if last is not None and last.id.endswith("-end"):
        received = received[:-1]
        end = last.data if last.data == "[DONE]" else last.json["error"]["code"]
    assert end, "the stream ended without a terminal event"
    assert sum('"role"' in each.data for each in received) <= 1, "two beginnings"
    assert len({each.json.get("id") for each in received} - {None}) <= 1, "chunks of two answers"
    text = "".join(each.content for each in received)
    return f"{text or 'no text'}, then {end}"


async def _in_order(stream: AsyncIterator[Received]) -> AsyncGenerator[Received, None]:
    """Check the events against the contract: no gap in their ids, one end, and nothing after it."""
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
