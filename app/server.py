"""Uvicorn, with a shutdown of its own: the turns end first, then the server."""

import asyncio
import resource
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.server import HANDLED_SIGNALS

from app.http.protocol import ConnectionLimits, http_protocol
from app.service import Service
from app.settings import Settings
from app.turns.engine import TurnEngine

_LAST_RESPONSES_SECONDS = 5
"""How long readers may take for the rest of their streams once all turns have ended."""
_KEEP_ALIVE_SECONDS = 75
"""How long a connection may be idle. Longer than load balancers and clients keep theirs (mostly 60 seconds):
a request is lost if the service closes its connection at that moment."""
_CONNECTIONS_WITHOUT_READER = 1000
"""How many connections may be open besides those of readers."""

OTHER_DESCRIPTORS = 250
"""How many files may be open besides: connections to Redis, and idle ones to the backend."""

_log = structlog.get_logger()


def connection_limits(settings: Settings) -> ConnectionLimits:
    """Bound the connections: by the readers that may come, and by the files that may be open."""
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = settings.max_readers + _CONNECTIONS_WITHOUT_READER
    if open_files != resource.RLIM_INFINITY:
        # A turn has a connection to the backend.
        left = open_files - settings.max_active_turns - OTHER_DESCRIPTORS
        connections = min(connections, max(left, open_files // 2))
    return ConnectionLimits(connections=connections, slow_reader_seconds=settings.slow_reader_seconds)


def server_config(app: FastAPI, limits: ConnectionLimits) -> uvicorn.Config:
    """Configure how the application is served."""
    return uvicorn.Config(
        app,
        http=http_protocol(limits),  # type: ignore[arg-type]  # anything that makes protocols does
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # The client's address decides nothing here, so no header has to be believed.
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_LAST_RESPONSES_SECONDS,
    )


class Server(uvicorn.Server):
    """Drains the turns on SIGTERM or SIGINT while it goes on serving, then stops with exit code 0."""

    def __init__(self, app: FastAPI, settings: Settings, *, on_listening: Callable[[str], None]) -> None:
        """Serve the application.

        Args:
            app: The application, made by `create_app`.
            settings: The service's settings.
            on_listening: Is called with the service's URL at the end of the start.
        """
        super().__init__(server_config(app, connection_limits(settings)))
        self._app = app
        self._grace_seconds = settings.shutdown_grace_seconds
        self._is_open = settings.is_open
        self._on_listening = on_listening
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            _log.info("listening", url=_url(listener))
        if self._is_open:
            _log.warning(
                "no authentication configured",
                consequence="anyone who can reach this port can act as any user",
                remedy="set API_KEYS, JWT_SECRET or JWT_JWKS_URL",
            )
        if sockets:
            self._on_listening(_url(sockets[0]))

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle the signals here: uvicorn would stop at once, and end the process by the signal."""
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
                "draining",
                grace_seconds=self._grace_seconds,
                hint="running turns may end; a second signal interrupts them",
            )
            self._draining = asyncio.create_task(self._drain(service.engine))
        else:
            _log.info("grace period ended", reason="second signal")
            service.engine.end_grace_period()

    async def _drain(self, engine: TurnEngine) -> None:
        try:
            await engine.drain(self._grace_seconds)
        finally:
            self.should_exit = True


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
