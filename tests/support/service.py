"""The service on a real socket, in this process."""

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
"""Without authorities, whose loading would take longer than most tests."""


class _Server(uvicorn.Server):
    """Leaves pytest its signals."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def client_of(url: str, *, keeps_connections: bool = True) -> httpx.AsyncClient:
    """A client of the service at this address."""
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
            server.should_exit = True
            await task


def settings_for(**values: object) -> Settings:
    """Settings from these values alone: neither the environment nor `.env` is read."""
    given = {"llm_model": "test-model", "llm_base_url": "http://backend.test/v1", **values}
    return Settings.model_validate(given)
