"""What the server offers beyond ASGI: to abort, to write at once, and to learn that a client has left."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from app.api.connection import (
    ABORT_EXTENSION,
    CONTINUE_EXTENSION,
    INVALID_BODY_EXTENSION,
    LEAVE_EXTENSION,
    Departure,
)


def extensions(transport: asyncio.Transport) -> dict[str, dict[object, object]]:
    """Make the ASGI extensions that a request's application is offered from its start."""
    return {
        # Closing a connection waits for a reader that takes nothing; this does not.
        ABORT_EXTENSION: {"abort": transport.abort},
        INVALID_BODY_EXTENSION: {},
        LEAVE_EXTENSION: {"departure": Departure()},
    }


def continuing(app: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Let an application return before its answer is whole, and send the rest of it then.

    The application gets a scope of its own, so that what it puts there ends with it.
    """

    async def run(scope: Any, receive: Any, send: Any) -> None:
        rests: list[Callable[[], Awaitable[None]]] = []
        scope["extensions"][CONTINUE_EXTENSION] = {"continue_with": rests.append}
        await app({**scope, "state": {**scope["state"]}}, receive, send)
        for rest in rests:
            await rest()

    return run


def announce_departure(cycle: Any) -> None:
    """Tell the application that the client of a request waits for nothing more."""
    cycle.scope["extensions"][LEAVE_EXTENSION]["departure"].announce()


def chunk_writer(cycle: Any) -> Callable[[bytes], bool]:
    """Return what writes a part of a chunked body at once, past uvicorn's own `send`.

    It returns False, and writes nothing, if the client has gone or takes nothing now, or the answer is not a
    chunked one that has begun and not ended.
    """

    def write(part: bytes) -> bool:
        can_write = (
            cycle.chunked_encoding
            and cycle.response_started
            and not (cycle.response_complete or cycle.disconnected or cycle.flow.write_paused)
        )
        if can_write:
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return bool(can_write)

    return write
