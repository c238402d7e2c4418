"""HTTP/1.1 on one connection: strict, independent of how the bytes are cut, bounded in time and memory.

Nothing edits bytes before the parser, and a parser that has stopped parses nothing more of its connection.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import httptools
import structlog
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from app.api.connection import INVALID_BODY_EXTENSION, WRITE_EXTENSION
from app.errors import InvalidHttp, RequestTimeout, ServiceError
from app.http.answers import end_body_with_connection, refusal_bytes
from app.http.extensions import announce_departure, chunk_writer, continuing, extensions
from app.http.head import check_head
from app.http.last_body import body_parser
from app.http.lingering import LingeringTransport

_MAX_HEAD_BYTES = 64 * 1024
"""Of a head, and of whatever else of a request is no body: extensions of chunks, trailers."""
_MAX_PIPELINED = 100
_READ_AHEAD = 1
"""How many requests may wait behind the one that is answered while the service reads on. If it does not read,
it does not notice that the client has left."""
_METHODS_WITHOUT_BODY = frozenset({"GET", "HEAD"})
_HEADER_OVERHEAD = len(": \r\n")
_TOO_LARGE = "The head of the request, or its trailer, is too large."

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The bounds on connections.

    Attributes:
        connections: How many may be open at once. Above it the newest is closed.
        head_seconds: How long a head may take, and how long a new connection may be silent.
        slow_reader_seconds: How long a client may take nothing of an answer.
    """

    connections: int = 5000
    head_seconds: float = 10
    slow_reader_seconds: float = 20


class _Stopped(Exception):
    """Ends the parser's run: what follows on this connection is no request."""


class HttpProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, with bounds, and with one answer for each request however its bytes are cut."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.app = continuing(self.app)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None
        self._has_stopped = False
        self._refusal: ServiceError | None = None
        self._is_in_message = False
        self._is_in_head = False
        self._messages = 0
        self._head_size = 0
        self._bytes_without_body = 0
        self._has_advanced = False
        self._answering: RequestResponseCycle | None = None

    @property
    def _is_idle(self) -> bool:
        """Whether the client waits for nothing, and sends nothing."""
        return not self._is_in_message and not self._has_stopped and self._has_answered

    @property
    def _has_answered(self) -> bool:
        """Whether every request so far has its answer. The newest request is answered last."""
        # Before the first request uvicorn has no cycle, whatever its types say.
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self._lingering = LingeringTransport(
            transport,
            is_idle=lambda: self._is_idle,
            resume_reading=self._resume_reading,
            slow_reader_seconds=self._limits.slow_reader_seconds,
        )
        super().connection_made(self._lingering)
        if len(self.connections) > self._limits.connections:
            _log.warning("connection closed", reason="too many are open", limit=self._limits.connections)
            transport.abort()
            return
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_deadline()
        self._unset_keepalive_if_required()
        self._lingering.connection_lost()
        if self._answering is not None and not self._answering.response_complete:
            # Uvicorn tells the newest request alone, which may wait behind this one.
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)
        if self._answering is not None:
            announce_departure(self._answering)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._lingering.expect_progress()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._lingering.expect_no_progress()

    def data_received(self, data: bytes) -> None:
        if self._has_stopped or self.transport.is_closing():
            return
        expected = self._messages + (not self._is_in_message)
        self._has_advanced = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stop:
            self._read_last_body(data[stop.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse(error)
        if self._has_stopped:
            return
        if self._is_in_message and not self._has_advanced and self._messages == expected:
            self._bytes_without_body += len(data)
            if self._bytes_without_body > _MAX_HEAD_BYTES:
                self._stop(InvalidHttp(_TOO_LARGE))

    def on_message_begin(self) -> None:
        if self._has_stopped or len(self.pipeline) >= _MAX_PIPELINED:
            self._has_stopped = True
            raise _Stopped
        super().on_message_begin()
        # The time that an idle connection may last ends here, not with the first byte: blank lines may come.
        self._unset_keepalive_if_required()
        self._set_deadline()
        self._is_in_message = self._is_in_head = True
        self._messages += 1
        self._head_size = self._bytes_without_body = 0

    def on_url(self, url: bytes) -> None:
        self._grow_head(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._grow_head(len(name) + len(value) + _HEADER_OVERHEAD)
        # A trailer is no header (RFC 9110, 6.5.1): it comes after the head has been checked.
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._cancel_deadline()
        self._advance()
        self._head_size = 0
        http_version = self.parser.get_http_version()
        check_head(http_version, self.url, self.headers)
        self.scope["extensions"] = extensions(self.transport)
        super().on_headers_complete()
        self.scope["extensions"][WRITE_EXTENSION] = {"write": chunk_writer(self.cycle)}
        self._is_in_head = False
        self._unset_keepalive_if_required()
        if self.pipeline:
            self._read_ahead()
        else:
            self._answering = self.cycle
        if http_version == "1.0":
            self.cycle.waiting_for_100_continue = False
            end_body_with_connection(self.cycle)
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._advance()
        # Nothing reads the other ones: kept, they would pause the reads for as long as the answer takes.
        if self.scope["method"] not in _METHODS_WITHOUT_BODY:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # the parser stops here; the body, if there is one, is still to come
        self._is_in_message = False
        if not self.cycle.keep_alive:
            self._has_stopped = True
        super().on_message_complete()
        # Its last part may have paused the reads, and the application asks for no other.
        self._read_ahead()

    def on_response_complete(self) -> None:
        announce_departure(self._answering)
        if self.pipeline:
            self._answering = self.pipeline[-1][0]
        super().on_response_complete()
        if not self.transport.is_closing():
            self._read_ahead()
        if self._has_answered:
            if self._is_in_message and self.expect_100_continue:
                # The client may leave the body out now: the next bytes may be it, or the next request.
                self._has_stopped = True
            self._end_if_stopped()

    def _read_last_body(self, rest: bytes) -> None:
        """Read the body of a request that offers another protocol; the connection ends with the answer."""
        self.parser = body_parser(self.headers, self.on_body, self.on_message_complete)
        try:
            self.parser.feed_data(b"\r\n" + rest)
        except httptools.HttpParserError as error:
            self._refuse(error)

    def _refuse(self, error: httptools.HttpParserError) -> None:
        """Stop at what is no request."""
        if self._has_stopped:
            return
        if isinstance(error.__context__, ServiceError):
            self._stop(error.__context__)
        elif isinstance(error, httptools.HttpParserInvalidMethodError) and self._messages > 1:
            # The rest of a body that is longer than its Content-Length says: the good request has its answer.
            self._stop(None)
        else:
            self._stop(InvalidHttp())

    def _stop(self, refusal: ServiceError | None) -> None:
        """Parse nothing more. Requests that came whole are answered, then the refusal goes out."""
        self._has_stopped = True
        self._cancel_deadline()
        if self._is_in_message and not self._is_in_head and not self.cycle.response_complete:
            # The application has the request already. It finds the reason when it reads the body.
            self.scope["extensions"][INVALID_BODY_EXTENSION]["reason"] = refusal
            self.cycle.message_event.set()
        else:
            self._refusal = None if self._is_in_message and not self._is_in_head else refusal
            self._end_if_stopped()

    def _end_if_stopped(self) -> None:
        if not self._has_stopped or not self._has_answered or self.transport.is_closing():
            return
        if self._refusal is not None:
            self.transport.write(refusal_bytes(self._refusal))
        self.transport.close()

    def _read_ahead(self) -> None:
        """Read on, unless the client sends requests and does not wait for their answers."""
        if len(self.pipeline) > _READ_AHEAD:
            self.flow.pause_reading()
        else:
            self.flow.resume_reading()

    def _resume_reading(self) -> None:
        self.flow.resume_reading()

    def _grow_head(self, size: int) -> None:
        self._head_size += size
        if self._head_size > _MAX_HEAD_BYTES:
            raise InvalidHttp(_TOO_LARGE)

    def _advance(self) -> None:
        self._has_advanced = True
        self._bytes_without_body = 0

    def _set_deadline(self) -> None:
        self._cancel_deadline()
        self._deadline = self.loop.call_later(self._limits.head_seconds, self._time_out)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _time_out(self) -> None:
        if self.flow.read_paused:
            self._set_deadline()  # the service does not read, so the client is not late
        elif self._is_in_head:
            self._stop(RequestTimeout("The head of the request did not arrive in time."))
        else:
            self.transport.close()


def http_protocol(limits: ConnectionLimits) -> Callable[..., HttpProtocol]:
    """Return what makes the protocol of a new connection."""
    return partial(HttpProtocol, limits=limits)
