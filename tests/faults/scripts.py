"""What backends do wrong."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.backend import Exchange, Script
from tests.support.chunks import DONE, answer, chunk, event

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
NGINX = b"<html><head><title>502 Bad Gateway</title></head><body>nginx at http://10.0.0.7</body></html>"
FINISH = event(chunk(finish_reason="stop"))

Ending = Callable[[Exchange], Awaitable[None]]


async def closes(_: Exchange) -> None:
    """The connection is closed once a script is through."""


async def resets(exchange: Exchange) -> None:
    """The connection is reset."""
    exchange.reset()


async def hangs(exchange: Exchange) -> None:
    """Nothing comes any more."""
    await exchange.hung_up.wait()


async def comments(exchange: Exchange) -> None:
    """Nothing comes but comments."""
    await _again_and_again(exchange, b": processing\n\n")


async def empty_chunks(exchange: Exchange) -> None:
    """Nothing comes but chunks without content."""
    await _again_and_again(exchange, event(chunk("")))


def floods(part: bytes) -> Ending:
    """This comes again and again, as fast as it is read."""

    async def ending(exchange: Exchange) -> None:
        many = part * (1 + 16 * 1024 // len(part))
        while not exchange.hung_up.is_set():
            await exchange.send(many)
            await asyncio.sleep(0)

    return ending


async def _again_and_again(exchange: Exchange, part: bytes) -> None:
    while not exchange.hung_up.is_set():
        await exchange.send(part)
        await asyncio.sleep(0.02)


def sends(*parts: bytes, then: Ending = closes) -> Script:
    """A stream of these bytes, each part in a write of its own."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*parts)
        await then(exchange)

    return script


def sends_slowly(*parts: bytes, seconds: float) -> Script:
    """A stream of these bytes, with a pause before each part but the first."""

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(parts[0])
        for part in parts[1:]:
            await asyncio.sleep(seconds)
            await exchange.send(part)

    return script


def writes(*parts: bytes, then: Ending = closes) -> Script:
    """These bytes and no others, the head included."""

    async def script(exchange: Exchange) -> None:
        await exchange.send(*parts)
        await then(exchange)

    return script


def replies(status: int, body: bytes | dict[str, Any] | list[Any] = b"", **headers: str) -> Script:
    """An answer that is no stream: JSON where it is given some, else HTML."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} Scripted",
        f"Content-Type: {'text/html' if isinstance(body, bytes) else 'application/json'}",
        f"Content-Length: {len(content)}",
        "Connection: close",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return writes("\r\n".join([*lines, "", ""]).encode() + content)


def says_error(message: str = "CUDA error: out of memory") -> dict[str, Any]:
    """An error as OpenAI has it."""
    return {"error": {"message": message, "type": "server_error", "code": None}}


def chunked(*parts: bytes) -> list[bytes]:
    """Parts of a body in chunked encoding, without its end."""
    return [f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts]


def one_after_the_other(scripts: tuple[Script, ...]) -> Script:
    """A script an attempt; the last one stays."""
    left = list(scripts)

    async def script(exchange: Exchange) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(exchange)

    return script


HEL = event(chunk("Hel"))
LO = event(chunk("lo"))
HELLO = answer("Hel", "lo")
END = (FINISH, DONE)


class Dictated:
    """A script that sends what it is told to, and ends with `[DONE]`."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = asyncio.Queue[bytes]()
        self.say(*parts)

    def say(self, *parts: bytes) -> None:
        """Send these, each in a write of its own."""
        for part in parts:
            self._parts.put_nowait(part)

    async def __call__(self, exchange: Exchange) -> None:
        """Send until the end has been sent, or the client has gone."""
        await exchange.head()
        speaking = asyncio.create_task(self._speak(exchange))
        gone = asyncio.create_task(exchange.hung_up.wait())
        await asyncio.wait({speaking, gone}, return_when=asyncio.FIRST_COMPLETED)
        speaking.cancel()
        gone.cancel()

    async def _speak(self, exchange: Exchange) -> None:
        part = b""
        while part != DONE:
            part = await self._parts.get()
            await exchange.send(part)
