"""The load: requests over raw connections, and counts of the responses."""

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import httptools

STAMP = re.compile(rb'"content": ?"(\d{20})"')
_STAMP_BYTES = 40
_TOKEN = b'"content":'
_DONE = b"data: [DONE]"
_TAIL_BYTES = max(len(_TOKEN), len(_DONE)) - 1
_OK = 200


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server on this machine."""

    port: int
    host: str = "127.0.0.1"


@dataclass(slots=True)
class Received:
    """The result of one request. Times are nanoseconds of the monotonic clock, which all processes share."""

    asked_at: int = 0
    first_at: int = 0
    """The time when the first byte of the body arrived."""
    tokens: int = 0
    size: int = 0
    """The number of bytes of the body, without HTTP's framing."""
    status: int = 0
    turn_id: str = ""
    is_whole: bool = False
    last: bytes = b""
    """The last piece of the body: if something went wrong, it says what."""
    arrivals: list[tuple[int, int]] = field(default_factory=list)
    """The times when each stamped token was sent and when it arrived."""


class Stream(asyncio.Protocol):
    """A connection that sends one request and reads to the end."""

    def __init__(self, request: bytes, *, is_stamped: bool) -> None:
        self.received = Received()
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Completes with the first byte of the body, or with the end."""
        self.ended: asyncio.Future[Received] = asyncio.get_running_loop().create_future()
        self._request = request
        self._is_stamped = is_stamped
        self._parser = httptools.HttpResponseParser(self)
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.received.asked_at = time.monotonic_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._end()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Handle one header."""
        if name.lower() == b"x-turn-id":
            self.received.turn_id = value.decode()

    def on_body(self, body: bytes) -> None:
        """Count the bytes that arrived. A piece may end in the middle of an event."""
        now = time.monotonic_ns()
        received = self.received
        if not received.first_at:
            received.first_at = now
            received.status = self._parser.get_status_code()
            self.begun.set_result(None)
        received.size += len(body)
        received.last = body
        piece = self._tail + body
        if self._is_stamped:
            after = 0
            for found in STAMP.finditer(piece):
                received.arrivals.append((int(found[1]), now))
                after = found.end()
            received.tokens = len(received.arrivals)
            self._tail = piece[max(after, len(piece) - _STAMP_BYTES) :]
        else:
            received.tokens += piece.count(_TOKEN) - self._tail.count(_TOKEN)
            self._tail = piece[-_TAIL_BYTES:]
        received.is_whole = received.is_whole or _DONE in piece

    def on_message_complete(self) -> None:
        """Close the connection: each stream has one of its own, as in a browser."""
        self.close()
        self._end()

    def close(self) -> None:
        """Disconnect."""
        if self._transport is not None:
            self._transport.abort()

    def _end(self) -> None:
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None if future is self.begun else self.received)  # type: ignore[arg-type]


class LoadError(Exception):
    """A response is not the one that was requested."""


async def open_stream(address: Address, request: bytes, *, is_stamped: bool = False) -> Stream:
    """Connect and send the request."""
    _, stream = await asyncio.get_running_loop().create_connection(
        lambda: Stream(request, is_stamped=is_stamped), address.host, address.port
    )
    return stream


async def ask_all(
    address: Address, requests: Iterable[bytes], *, interval_seconds: float, is_stamped: bool = False
) -> list[Stream]:
    """Send requests without waiting for answers: an open loop."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    streams = []
    for request in requests:
        await asyncio.sleep(due - loop.time())
        due += interval_seconds
        streams.append(await open_stream(address, request, is_stamped=is_stamped))
    return streams


async def wait_for_all(streams: Iterable[Stream], *, seconds: float) -> list[Received]:
    """Wait until all answers have ended.

    Raises:
        LoadError: The answers take longer than `seconds`.
    """
    try:
        async with asyncio.timeout(seconds):
            return [await stream.ended for stream in streams]
    except TimeoutError:
        raise LoadError(f"the answers took longer than {seconds:g} s") from None


def spoilt(answers: Iterable[Received], *, tokens: int) -> list[Received]:
    """Select the answers that are not complete."""
    return [each for each in answers if not each.is_whole or each.tokens < tokens or each.status != _OK]


async def read_all(streams: Iterable[Stream], *, tokens: int, seconds: float) -> list[Received]:
    """Wait until all answers have ended, and check that each is complete.

    Raises:
        LoadError: An answer is not complete, or they take longer than `seconds`.
    """
    answers = await wait_for_all(streams, seconds=seconds)
    if bad := spoilt(answers, tokens=tokens):
        raise LoadError(
            f"{len(bad)} of {len(answers)} answers are incomplete; one has status {bad[0].status}, "
            f"{bad[0].tokens} tokens and ends with {bad[0].last[-300:]!r}"
        )
    return answers
