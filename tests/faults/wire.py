"""HTTP by hand, for clients that do not keep to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from httptools import HttpResponseParser

from tests.faults.lab import QUESTION, USER, Lab, as_seen, refusal
from tests.support.sse import events

BODY = json.dumps({"user_id": USER, "message": QUESTION}).encode()


def head(*lines: str) -> bytes:
    """The head of a `POST /chat` with these headers beside the usual ones."""
    usual = ("POST /chat HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join([*usual, *lines, "", ""]).encode()


def request(*lines: str, body: bytes = BODY) -> bytes:
    """A whole request."""
    return head(f"Content-Length: {len(body)}", *lines) + body


class Wire:
    """One connection to the service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._responses: list[_Response] = []
        self._parser = HttpResponseParser(self)

    async def send(self, *parts: bytes) -> None:
        """Send bytes, each part in its own write."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()

    async def receive_until(self, text: bytes) -> None:
        """Read until this has come."""
        while not any(text in response.body for response in self._responses):
            await self.receive()

    async def receive(self, most: int = 64 * 1024) -> bool:
        """Read the available bytes; return False if the connection is closed."""
        try:
            data = await self.reader.read(most)
        except ConnectionError:
            return False
        self._parser.feed_data(data)
        return bool(data)

    async def seen(self) -> str:
        """Read to the end, and describe what the client saw."""
        while await self.receive():
            pass
        return "; ".join([await response.seen() for response in self._responses]) or "the line is cut"

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._responses.append(_Response())

    def on_header(self, name: bytes, value: bytes) -> None:
        self._responses[-1].headers.append((name.decode(), value.decode()))

    def on_headers_complete(self) -> None:
        self._responses[-1].status = self._parser.get_status_code()

    def on_body(self, data: bytes) -> None:
        self._responses[-1].body += data

    def on_message_complete(self) -> None:
        self._responses[-1].is_whole = True


class _Response:
    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.is_whole = False

    async def seen(self) -> str:
        headers = httpx.Headers(self.headers)
        if self.status == httpx.codes.OK:

            async def received() -> AsyncIterator[Any]:
                async for each in events(httpx.Response(200, content=bytes(self.body))):
                    yield each
                if not self.is_whole:
                    raise httpx.RemoteProtocolError("")

            return await as_seen(received())
        return refusal(self.status, headers, bytes(self.body))


@asynccontextmanager
async def wire(lab: Lab) -> AsyncIterator[Wire]:
    """Open a connection to the service, and close it at the end."""
    url = lab.here.base_url
    # With a small limit, unread bytes stay in the socket.
    reader, writer = await asyncio.open_connection(url.host, url.port, limit=1024)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
