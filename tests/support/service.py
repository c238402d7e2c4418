"""The service on a real socket, within the test's process."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from app.http.protocol import ConnectionLimits
from app.server import server_config
from app.settings import Settings

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A context without authorities: loading them takes longer than most tests."""


class _Server(uvicorn.Server):
    """A server that leaves the signals to pytest and ends as soon as it is stopped.

    uvicorn's own looks ten times a second whether it has to end.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        ticking = asyncio.create_task(super().main_loop())
        await self._stopped.wait()
        ticking.cancel()
        self.should_exit = True


def client_of(url: str, *, keeps_connections: bool = True) -> httpx.AsyncClient:
    """Make a client of the service at this address."""
    idle = None if keeps_connections else 0
    return httpx.AsyncClient(
        base_url=url,
        timeout=30,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=idle),
        verify=_NO_TLS,
    )


@asynccontextmanager
async def serving(app: FastAPI, limits: ConnectionLimits | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the application over TCP; the client talks to it over a real socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _Server(server_config(app, limits or ConnectionLimits()))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        port = listener.getsockname()[1]
        try:
            async with client_of(f"http://127.0.0.1:{port}") as client:
                yield client
        finally:
            server.stop()
            await task


def settings_for(**values: object) -> Settings:
    """Make settings from these values alone; neither the environment nor `.env` is read."""
    given = {"llm_model": "test-model", "llm_base_url": "http://backend.test/v1", **values}
    return Settings.model_validate(given)
