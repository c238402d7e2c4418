"""Uvicorn, with a shutdown of its own: the turns end first, then the server."""

import asyncio
import socket
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from app.settings import Settings
from app.turns.engine import TurnEngine

_LAST_RESPONSES_SECONDS = 5
"""How long, once all turns have ended, slow readers may take for what is left."""

_log = structlog.get_logger()


class Server(uvicorn.Server):
    """On SIGTERM or SIGINT drains the turns while it goes on serving, then stops with exit code 0."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=_LAST_RESPONSES_SECONDS,
            )
        )
        self._app = app
        self._grace_seconds = settings.shutdown_grace_seconds
        self._draining: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        for listener in sockets or ():
            _log.info("listening", url=_url(listener))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Runs in the signal, so the rest is left to the loop. Uvicorn's own would end by the signal."""
        if self._loop is None or not self.started:
            self.should_exit = True
        else:
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        engine: TurnEngine = self._app.state.engine
        if self._draining is None:
            _log.info("draining: running turns may still end", grace_seconds=self._grace_seconds)
            self._draining = asyncio.create_task(self._drain(engine))
        else:
            _log.info("ending running turns now")
            engine.interrupt_running()

    async def _drain(self, engine: TurnEngine) -> None:
        try:
            await engine.drain(self._grace_seconds)
        finally:
            self.should_exit = True


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if listener.family == socket.AF_INET6 else f"http://{host}:{port}"
