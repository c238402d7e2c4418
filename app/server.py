"""Uvicorn, with a shutdown of its own: the turns end first, then the server."""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import HANDLED_SIGNALS

from app.api.sse import ABORT_EXTENSION
from app.settings import Settings
from app.turns.engine import TurnEngine

_LAST_RESPONSES_SECONDS = 5
"""How long, once all turns have ended, slow readers may take for what is left."""

_log = structlog.get_logger()


class _Protocol(HttpToolsProtocol):
    """Lets the application cut a connection: closing it would wait for a reader that takes nothing."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT_EXTENSION: {"abort": self.transport.abort}}


def server_config(app: FastAPI) -> uvicorn.Config:
    """How the application is served."""
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_LAST_RESPONSES_SECONDS,
    )


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT drains the turns while it goes on serving, then stops with exit code 0."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(server_config(app))
        self._app = app
        self._grace_seconds = settings.shutdown_grace_seconds
        self._draining: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            _log.info("listening", url=_url(listener))

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
        engine: TurnEngine = self._app.state.engine
        if self._draining is None:
            _log.info(
                "draining: running turns may still end; a second signal ends them",
                grace_seconds=self._grace_seconds,
            )
            self._draining = asyncio.create_task(self._drain(engine))
        else:
            _log.info("ending running turns now")
            engine.hurry()

    async def _drain(self, engine: TurnEngine) -> None:
        try:
            await engine.drain(self._grace_seconds)
        finally:
            self.should_exit = True


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
