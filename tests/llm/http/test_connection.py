"""Responses as backends send them: parsed the same way however the network cuts them."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import httpx
import pytest

from app.llm.http.body import MAX_BUFFERED_BYTES, PIECE_BYTES, BodyStream
from app.llm.http.connection import MAX_HEAD_BYTES, Connection, InvalidResponse

REQUEST = httpx.Request("POST", "http://backend.test/v1/chat/completions", json={"stream": True})
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport without a network: it records what is written and how it is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False
        self.is_paused = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.is_aborted = True

    def is_closing(self) -> bool:
        return self.is_aborted

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


class Seen(NamedTuple):
    """What the client makes of a response, and whether it would use the connection again."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    is_reused: bool


class Exchange:
    """One request on one connection, whose response the test feeds."""

    def __init__(self) -> None:
        self.idle: list[Connection] = []
        self.wire = Wire()
        self.connection = Connection(on_idle=self.idle.append, on_lost=lambda _: None)
        self.connection.connection_made(self.wire)

    @property
    def is_reused(self) -> bool:
        return self.connection in self.idle and self.connection.is_reusable

    async def ask(self) -> asyncio.Task[httpx.Response]:
        asking = asyncio.create_task(self.connection.send(REQUEST, REQUEST.content))
        while not self.wire.written:
            await asyncio.sleep(0)
        return asking

    def feed(self, parts: Iterable[bytes], *, ends: bool) -> None:
        for part in parts:
            if not self.wire.is_aborted:
                self.connection.data_received(part)
        if ends and not self.wire.is_aborted:
            self.connection.eof_received()
            self.connection.connection_lost(None)

    async def seen(self, parts: Iterable[bytes], *, ends: bool) -> Seen | type[Exception]:
        asking = await self.ask()
        self.feed(parts, ends=ends)
        try:
            response = await asking
            body = await response.aread()
        except httpx.TransportError as error:
            assert self.wire.is_aborted
            return type(error)
        return Seen(response.status_code, response.headers.multi_items(), body, self.is_reused)


RESPONSES = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello",
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an empty body": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "chunks": CHUNKED + b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    "chunk extensions": CHUNKED + b"5;a=b;c\r\nhello\r\n0;x\r\n\r\n",
    "trailers": CHUNKED + b"5\r\nhello\r\n0\r\nX-Checksum: 1\r\n\r\n",
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "a peer that closes": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    "bytes after the end": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    "an error": b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3\r\ncontent-length: 4\r\n\r\nbusy",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
}
ENDED_BY_CLOSE = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello",
    "no length": b"HTTP/1.1 200 OK\r\n\r\nhello",
}
BROKEN = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a malformed chunk": CHUNKED + b"zz\r\nhello\r\n",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + b"hello",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * (MAX_HEAD_BYTES // 8 + 8),
    "a flood of interim responses": b"HTTP/1.1 102 Processing\r\n\r\n" * 100,
    "endless trailers": CHUNKED + b"0\r\n" + b"X-A: b\r\n" * (MAX_HEAD_BYTES // 2),
}


@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
async def test_a_response_is_the_same_wherever_the_network_cuts_it(response: bytes) -> None:
    whole = await Exchange().seen([response], ends=False)
    assert isinstance(whole, Seen)
    for cut in range(1, len(response)):
        assert await Exchange().seen([response[:cut], response[cut:]], ends=False) == whole, cut
    assert await Exchange().seen([bytes([byte]) for byte in response], ends=False) == whole


@pytest.mark.parametrize("response", ENDED_BY_CLOSE.values(), ids=ENDED_BY_CLOSE)
async def test_a_body_without_a_length_ends_with_its_connection(response: bytes) -> None:
    for cut in range(1, len(response)):
        seen = await Exchange().seen([response[:cut], response[cut:]], ends=True)
        assert isinstance(seen, Seen)
        assert (seen.body, seen.is_reused) == (b"hello", False)


@pytest.mark.parametrize("response", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_response_fails_and_its_connection_is_closed(response: bytes) -> None:
    for size in (1, 7, len(response)):
        parts = [response[start : start + size] for start in range(0, len(response), size)]
        assert await Exchange().seen(parts, ends=False) is InvalidResponse


@pytest.mark.parametrize("name", [name for name in RESPONSES if name != "bytes after the end"])
async def test_a_response_that_ends_early_fails(name: str) -> None:
    response = RESPONSES[name]
    for end in range(len(response)):
        assert await Exchange().seen([response[:end]] if end else [], ends=True) is httpx.ReadError, end


async def test_only_a_complete_response_leaves_a_connection_for_the_next_request() -> None:
    for name, response in RESPONSES.items():
        seen = await Exchange().seen([response], ends=False)
        assert isinstance(seen, Seen)
        assert seen.is_reused is (name not in {"a peer that closes", "bytes after the end"}), name


async def test_bytes_that_no_request_asked_for_close_the_connection() -> None:
    exchange = Exchange()
    await exchange.seen([RESPONSES["a length"]], ends=False)
    exchange.connection.data_received(b"HTTP/1.1 200 OK\r\n")
    assert exchange.wire.is_aborted
    assert not exchange.connection.is_reusable


async def test_a_cancelled_request_closes_its_connection() -> None:
    exchange = Exchange()
    asking = await exchange.ask()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert exchange.wire.is_aborted


async def test_a_body_that_is_left_closes_its_connection() -> None:
    exchange = Exchange()
    asking = await exchange.ask()
    exchange.feed([CHUNKED + b"5\r\nhello\r\n"], ends=False)
    await (await asking).aclose()
    assert exchange.wire.is_aborted


async def test_a_body_that_nobody_takes_stops_the_reads_until_it_is_taken() -> None:
    exchange = Exchange()
    asking = await exchange.ask()
    part = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    exchange.feed([CHUNKED], ends=False)
    response = await asking
    exchange.feed([part] * (MAX_BUFFERED_BYTES // 0x4000), ends=False)
    assert not exchange.wire.is_paused
    exchange.feed([part], ends=False)
    assert exchange.wire.is_paused
    async with asyncio.timeout(5):
        await anext(response.aiter_raw())
    assert not exchange.wire.is_paused
    await response.aclose()


async def test_forwarding_calls_the_consumer_with_each_read_and_stops_when_it_wants_no_more() -> None:
    exchange = Exchange()
    asking = await exchange.ask()
    exchange.feed([CHUNKED + b"3\r\none\r\n"], ends=False)
    response = await asking
    assert isinstance(response.stream, BodyStream)
    received: list[bytes] = []

    def consume(data: bytes) -> bool:
        received.append(data)
        return data != b"threefour"

    forwarding = asyncio.create_task(response.stream.forward(consume))
    await asyncio.sleep(0)
    exchange.feed([b"3\r\ntwo\r\n"], ends=False)
    exchange.feed([b"5\r\nthree\r\n4\r\nfour\r\n"], ends=False)
    await forwarding
    assert received == [b"one", b"two", b"threefour"]
    await response.aclose()


@pytest.mark.parametrize("rest", [b"ZZ\r\n", b"0\r\n" + b"X-A: b\r\n" * (MAX_HEAD_BYTES // 2)])
async def test_what_arrives_in_one_read_with_a_broken_end_is_handed_on(rest: bytes) -> None:
    exchange = Exchange()
    asking = await exchange.ask()
    exchange.feed([CHUNKED + b"5\r\nhello\r\n" + rest], ends=False)
    response = await asking
    assert isinstance(response.stream, BodyStream)
    received: list[bytes] = []

    def consume(data: bytes) -> bool:
        received.append(data)
        return True

    with pytest.raises(InvalidResponse):
        await response.stream.forward(consume)
    assert received == [b"hello"]


async def test_a_request_that_is_cancelled_after_its_response_leaves_the_next_one_alone() -> None:
    exchange = Exchange()
    first = await exchange.ask()
    exchange.wire.written = b""
    exchange.feed([RESPONSES["a length"]], ends=False)
    first.cancel()
    second = asyncio.create_task(exchange.connection.send(REQUEST, REQUEST.content))
    while not exchange.wire.written:
        await asyncio.sleep(0)
    assert not exchange.wire.is_aborted
    exchange.feed([RESPONSES["a length"]], ends=False)
    assert await (await second).aread() == b"hello"


async def test_leaving_a_complete_body_does_nothing_to_the_next_response_on_its_connection() -> None:
    exchange = Exchange()
    asking = await exchange.ask()
    large = bytes(2 * MAX_BUFFERED_BYTES)
    exchange.feed([CHUNKED, b"%x\r\n%b\r\n" % (len(large), large), b"0\r\n\r\n"], ends=False)
    first = await asking
    assert exchange.is_reused
    assert not exchange.wire.is_paused
    exchange.wire.written = b""
    asking = await exchange.ask()
    exchange.feed([CHUNKED, b"3\r\none\r\n"], ends=False)
    second = await asking
    await first.aclose()
    exchange.feed([b"3\r\ntwo\r\n0\r\n\r\n"], ends=False)
    assert await second.aread() == b"onetwo"


async def test_a_large_read_is_handed_on_in_pieces_and_what_arrives_meanwhile_comes_after_it() -> None:
    exchange = Exchange()
    asking = await exchange.ask()
    exchange.feed([CHUNKED], ends=False)
    response = await asking
    assert isinstance(response.stream, BodyStream)
    received: list[bytes] = []

    def consume(data: bytes) -> bool:
        if received:  # more arrives while the pieces are handed on
            exchange.feed([b"1\r\n%d\r\n" % len(received)], ends=False)
        received.append(data)
        return not data.endswith(b"2")

    forwarding = asyncio.create_task(response.stream.forward(consume))
    await asyncio.sleep(0)
    large = bytes(PIECE_BYTES) + b"the rest"
    exchange.feed([b"%x\r\n%b\r\n" % (len(large), large)], ends=False)
    await forwarding
    assert received == [large[:PIECE_BYTES], large[PIECE_BYTES:], b"1", b"2"]
    await response.aclose()


async def test_a_consumer_that_fails_raises_in_the_task_that_forwards() -> None:
    exchange = Exchange()
    asking = await exchange.ask()
    exchange.feed([CHUNKED], ends=False)
    response = await asking
    assert isinstance(response.stream, BodyStream)

    def consume(_: bytes) -> bool:
        raise ValueError("no consumer")

    forwarding = asyncio.create_task(response.stream.forward(consume))
    await asyncio.sleep(0)
    exchange.feed([b"3\r\none\r\n"], ends=False)
    with pytest.raises(ValueError, match="no consumer"):
        await forwarding


async def test_a_header_with_a_line_end_is_never_sent() -> None:
    exchange = Exchange()
    request = httpx.Request("GET", "http://backend.test/", headers={"X-A": "b\r\nX-C: d"})
    with pytest.raises(httpx.LocalProtocolError):
        await exchange.connection.send(request, b"")
    assert exchange.wire.written == b""
