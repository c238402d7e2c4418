"""Turns from a client's view."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx

from app.turns.stream import Reader
from tests.support.backend import Exchange
from tests.support.chunks import DONE, chunk, event
from tests.support.sse import Received, events


async def raw(client: httpx.AsyncClient, turn_id: str, after: int | None = None) -> bytes:
    """Read the bytes of a turn, or those after one of its events, without comments."""
    headers = {} if after is None else {"Last-Event-ID": f"{turn_id}-{after}"}
    response = await client.get(f"/chat/{turn_id}", headers=headers)
    assert response.status_code == 200, response.text
    return b"".join(
        part + b"\n\n" for part in response.content.split(b"\n\n") if part and not part.startswith(b":")
    )


async def follow(client: httpx.AsyncClient, turn_id: str) -> list[Received]:
    """Follow a turn from its start to its end."""
    async with client.stream("GET", f"/chat/{turn_id}") as response:
        return [each async for each in events(response)]


class PausedScript:
    """A script that sends its parts, and sends the rest when `go_on` is set."""

    def __init__(self, *parts: bytes, rest: tuple[bytes, ...] = ()) -> None:
        self._parts = parts
        self._rest = rest or (event(chunk(finish_reason="stop")), DONE)
        self.go_on = asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*self._parts)
        await self.go_on.wait()
        await exchange.send(*self._rest)


async def begin(client: httpx.AsyncClient, user: str, **body: Any) -> AsyncGenerator[Received, None]:
    """Ask, and yield the events as they arrive."""
    async with client.stream("POST", "/chat", json={"user_id": user, "message": "Hi", **body}) as response:
        async for each in events(response):
            yield each


def turn_of(received: Received) -> str:
    """Return the id of an event's turn."""
    return received.id.rpartition("-")[0]


async def rest_of(reader: Reader) -> list[bytes]:
    """Read all events from a reader's cursor to the end of its turn."""
    events: list[bytes] = []
    while (taken := reader.take()) or reader.stream.end is None:
        events += taken
        if not taken:
            await reader.wait()
    return events
