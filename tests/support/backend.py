"""A scripted OpenAI-compatible backend on a real socket."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.chunks import answer
from tests.support.proxy import reset


@dataclass
class Exchange:
    """A request, and the way to answer it."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    writer: asyncio.StreamWriter
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the client has closed the connection."""

    async def head(self, status: int = 200, content_type: str = "text/event-stream") -> None:
        """Send the head of a response whose body ends with the connection."""
        lines = [
            f"HTTP/1.1 {status} Scripted",
            f"Content-Type: {content_type}",
            "Connection: close",
        ]
        await self.send("\r\n".join([*lines, "", ""]).encode())

    async def send(self, *parts: bytes) -> None:
        """Send bytes, each part in its own write."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def json(self, status: int, body: Any) -> None:
        """Answer with JSON."""
        await self.head(status, "application/json")
        await self.send(json.dumps(body).encode())

    def reset(self) -> None:
        """Reset the connection."""
        reset(self.writer)


Script = Callable[[Exchange], Awaitable[None]]


def says(*words: str) -> Script:
    """Make a script that sends a complete answer at once."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*answer(*words))

    return script


class Backend:
    """A backend that answers `GET /models`, and every completion by `script`."""

    def __init__(self) -> None:
        self.script: Script = says("Hello", ", ", "world")
        self.models: list[dict[str, Any]] = []
        self.models_status = 200
        self.looked_up: list[str] = []
        """The paths of all other requests."""
        self.completions: list[Exchange] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one request on a connection."""
        try:
            exchange = await _read_request(reader, writer)
            if exchange.method == "GET":
                self.looked_up.append(exchange.path)
            if exchange.path.partition("?")[0].endswith("/models"):
                await exchange.json(self.models_status, {"object": "list", "data": self.models})
                return
            if exchange.method == "GET" or not exchange.path.partition("?")[0].endswith("/chat/completions"):
                await exchange.json(404, {"error": {"message": "not found"}})
                return
            self.completions.append(exchange)
            watch = asyncio.create_task(_watch(reader, exchange))
            await self.script(exchange)
            watch.cancel()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left, as some tests intend
        finally:
            writer.close()


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    request_line, *lines = head.strip().split("\r\n")
    method, path, _ = request_line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    return Exchange(method, path, headers, json.loads(raw) if raw else None, writer)


async def _watch(reader: asyncio.StreamReader, exchange: Exchange) -> None:
    try:
        await reader.read()
    except ConnectionError:
        pass  # a reset also hangs up
    finally:
        exchange.hung_up.set()


@asynccontextmanager
async def running_backend(tls: ssl.SSLContext | None = None) -> AsyncIterator[Backend]:
    """Run a backend on a port of its own."""
    backend = Backend()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(backend.serve(reader, writer))
        connections.add(task)
        await asyncio.gather(task, return_exceptions=True)
        connections.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    backend.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/v1"
    try:
        yield backend
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await server.wait_closed()
