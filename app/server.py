"""Uvicorn, with a shutdown of its own: the turns end first, then the server."""

import asyncio
import re
import socket
import uuid
from collections.abc import Generator
from contextlib import contextmanager

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import HANDLED_SIGNALS

from app.api.errors import error_json
from app.api.event_stream import ABORT_EXTENSION
from app.errors import InvalidHttp
from app.service import Service
from app.settings import Settings
from app.turns.engine import TurnEngine

_LAST_RESPONSES_SECONDS = 5
"""How long, once all turns have ended, slow readers may take for what is left."""
_KEEP_ALIVE_SECONDS = 75
"""How long a connection may be idle. Above what balancers and clients keep theirs (60 seconds, mostly), as a
request on one that closes at that moment is lost."""
_MAX_HEAD_BYTES = 64 * 1024
_HEAD_TOO_LARGE = "The head of the request is too large."
_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"X-Request-Id: %b\r\nContent-Length: %d\r\n\r\n"
)
_BLANK_LINE = b"\r\n\r\n"
_UPGRADE = re.compile(rb"\r\nupgrade:[^\r\n]*", re.IGNORECASE)

_log = structlog.get_logger()


class _Protocol(HttpToolsProtocol):
    """Bounds the head of a request, offers no other protocol, and lets the application cut a connection."""

    _head_bytes = 0
    _is_in_head = False
    _is_in_body = False
    _is_spoilt = False

    def data_received(self, data: bytes) -> None:
        if self._is_spoilt:
            return
        if not (self._is_in_head or self._is_in_body):
            head, blank_line, rest = data.partition(_BLANK_LINE)
            if len(head) > _MAX_HEAD_BYTES:
                self.send_400_response(_HEAD_TOO_LARGE)
                return
            # RFC 9110, 7.8, lets a server ignore it; the parser would take the body for another protocol's.
            data = _UPGRADE.sub(b"", head) + blank_line + rest
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.send_400_response(_HEAD_TOO_LARGE)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request; uvicorn's own answer is plain text."""
        self._is_spoilt = True
        # Before the first request uvicorn has none, whatever its types say.
        if self.cycle is not None and not self.cycle.response_complete:  # type: ignore[redundant-expr]
            # What follows a good request must not spoil its answer.
            self.cycle.keep_alive = False
            return
        request_id = uuid.uuid4().hex
        body = error_json(InvalidHttp(msg), request_id)
        self.transport.write(_BAD_REQUEST % (request_id.encode(), len(body)) + body)
        self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes = True, 0
        # Closing a connection would wait for a reader that takes nothing.
        self.scope["extensions"] = {ABORT_EXTENSION: {"abort": self.transport.abort}}

    def on_headers_complete(self) -> None:
        self._is_in_head, self._is_in_body = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_body = False
        super().on_message_complete()


def server_config(app: FastAPI) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Who asks is of no matter here, so nobody's word for it is needed.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_LAST_RESPONSES_SECONDS,
    )


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT drains the turns while it goes on serving, then stops with exit code 0."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(server_config(app))
        self._app = app
        self._grace_seconds = settings.shutdown_grace_seconds
        self._is_open = settings.is_open
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            _log.info("listening", url=_url(listener))
        if self._is_open:
            _log.warning(
                "open to anybody: whoever reaches the port speaks for any user, "
                "as none of API_KEYS, JWT_SECRET and JWT_JWKS_URL is set"
            )

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Uvicorn's own would stop at once, and end the process by the signal."""
        loop = asyncio.get_running_loop()
        for stop in HANDLED_SIGNALS:
            loop.add_signal_handler(stop, self._stop)
        yield

    def _stop(self) -> None:
        if not self.started:
            self.should_exit = True
            return
        service: Service = self._app.state.service
        if self._draining is None:
            _log.info(
                "draining: running turns may still end; a second signal ends them",
                grace_seconds=self._grace_seconds,
            )
            self._draining = asyncio.create_task(self._drain(service.engine))
        else:
            _log.info("ending running turns now")
            service.engine.end_grace_period()

    async def _drain(self, engine: TurnEngine) -> None:
        try:
            await engine.drain(self._grace_seconds)
        finally:
            self.should_exit = True


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
