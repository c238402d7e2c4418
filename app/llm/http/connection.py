"""One connection to a backend: a request goes out, the response is parsed as it arrives."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import httptools
import httpx

from app.llm.http.body import BodyStream

MAX_HEAD_BYTES = 64 * 1024
"""The largest head of a response, together with the 1xx responses before it, and the largest trailers."""
_MAX_INTERIM_RESPONSES = 16
_NO_BODY = frozenset({204, 304})


class InvalidResponse(httpx.RemoteProtocolError):
    """What the peer sent is no HTTP/1.1, or exceeds a limit."""


class FailedAgain(httpx.ReadError):
    """A request failed that was sent a second time, because its first connection was closed while idle."""


class Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 (RFC 9112) with one peer, one request at a time.

    Attributes:
        is_reusable: Whether another request may be sent.
        has_received: Whether a byte of the current response has arrived.
    """

    def __init__(
        self, *, on_idle: Callable[["Connection"], None], on_lost: Callable[["Connection"], None]
    ) -> None:
        """Wait for the connection to be made.

        Args:
            on_idle: Called when a response is complete and the connection may serve another request.
            on_lost: Called when the connection is closed.
        """
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self.is_reusable = True
        self.has_received = False
        self._request: httpx.Request | None = None
        self._head: asyncio.Future[httpx.Response] | None = None
        self._body: BodyStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def send(self, request: httpx.Request, body: bytes) -> httpx.Response:
        """Send a request and wait for the head of its response.

        Raises:
            httpx.TransportError: The connection failed, or the peer does not speak HTTP/1.1.
        """
        assert self._transport is not None  # connections are handed out once they are made
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._head_bytes = self._interim = 0
        self._is_final = self._is_ended_by_close = self._is_complete = self.has_received = False
        self._received: list[bytes] = []
        head: asyncio.Future[httpx.Response] = self._loop.create_future()
        self._head = head
        try:
            self._transport.write(_encoded(request, body))
            return await head
        except BaseException:
            if self._head is head:  # otherwise the response is complete, and another request may be under way
                self.abort()
            raise

    def data_received(self, data: bytes) -> None:
        if self._head is None or self._is_complete:  # bytes that no request has asked for
            self.abort()
            return
        self.has_received = True
        if self._body is None:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._is_complete:
                self._hand_on_body()
                self._fail(InvalidResponse(f"invalid response: {error}", request=self._request))
                return
            self.is_reusable = False  # bytes after the end
        if self._body is None and self._head_bytes > MAX_HEAD_BYTES:
            self._fail(InvalidResponse("the response's head is too large", request=self._request))
            return
        self._hand_on_body()
        if self._is_complete:
            self._finish()

    def eof_received(self) -> None:
        # The return value None lets asyncio close the connection, which then reports connection_lost.
        self.is_reusable = False
        if self._body is not None and self._is_ended_by_close and not self._is_complete:
            self._is_complete = True
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        self._on_lost(self)
        failure = httpx.ReadError(str(exc or "the connection was closed"), request=self._request)
        failure.__cause__ = exc
        self._fail(failure)

    def abort(self) -> None:
        """Close the connection at once, whatever is under way."""
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()

    # What follows is called by the parser, within `data_received`.

    def on_message_begin(self) -> None:
        if self._is_complete:
            self.is_reusable = False

    def on_status(self, status: bytes) -> None:
        self._reason = status

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body is None:
            self._headers.append((name, value))
        else:  # a trailer, which no code reads
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > 2 * MAX_HEAD_BYTES:
                raise httptools.HttpParserCallbackError("the trailers are too large")

    def on_headers_complete(self) -> None:
        if self._is_complete:
            return
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004 - RFC 9110, 15.2: interim responses are 1xx
            self._interim += 1
            self._headers = []
            if self._interim > _MAX_INTERIM_RESPONSES:
                raise httptools.HttpParserCallbackError("too many interim responses")
            return
        names = {name.lower() for name, _ in self._headers}
        self._is_final = True
        self._is_ended_by_close = status not in _NO_BODY and not names & {
            b"content-length",
            b"transfer-encoding",
        }
        self._body = BodyStream(pause=self._pause, resume=self._resume, close=self.abort)
        response = httpx.Response(
            status,
            headers=self._headers,
            stream=self._body,
            request=self._request,
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": self._reason},
        )
        if self._head is not None and not self._head.done():
            self._head.set_result(response)

    def on_body(self, body: bytes) -> None:
        if not self._is_complete:
            self._received.append(body)

    def on_message_complete(self) -> None:
        if self._is_final and not self._is_complete:
            self._is_complete = True
            self.is_reusable = self.is_reusable and self._parser.should_keep_alive()

    def _hand_on_body(self) -> None:
        """Hand on what the parser has found in this read."""
        if self._received and self._body is not None:
            received, self._received = self._received, []
            self._body.received(received[0] if len(received) == 1 else b"".join(received))

    def _finish(self) -> None:
        """End the body, and offer the connection for the next request."""
        body, self._body, self._head = self._body, None, None
        if body is not None:
            body.ended()
        if self.is_reusable:
            self._on_idle(self)
        else:
            self.abort()

    def _fail(self, failure: Exception) -> None:
        self.abort()
        if self._head is not None and not self._head.done():
            self._head.set_exception(failure)
        if self._body is not None:
            self._body.ended(failure)

    def _pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            with suppress(RuntimeError):  # asyncio raises if it does not pause
                self._transport.resume_reading()


def _encoded(request: httpx.Request, body: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)]
    lines += map(b": ".join, request.headers.raw)
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise httpx.LocalProtocolError("a header has a line end", request=request)
    return b"%b\r\n\r\n%b" % (head, body)
