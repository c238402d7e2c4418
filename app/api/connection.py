"""The connection to one client: its pings, its patience, its end."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Self, TypeVar

from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.types import Message, Receive, Send

from app.errors import ServiceError
from app.timer import LazyTimer

ABORT_EXTENSION = "app.abort"
"""The ASGI extension with which the server offers to abort a connection. Closing it waits for its reader."""
WRITE_EXTENSION = "app.write"
"""The ASGI extension with which the server offers to `write` a part of a body past all layers. It returns
whether the client took it at once; otherwise nothing is written."""
INVALID_BODY_EXTENSION = "app.invalid_body"
"""The ASGI extension in which the server gives the `reason` why a body will never be complete."""

_T = TypeVar("_T")
_PING = ServerSentEvent(comment="ping", sep="\n").encode()


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client has gone. Whatever it sends until then is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def or_disconnect(
    request: Request, work: Coroutine[Any, Any, _T], *, discard: Callable[[_T], None] = lambda _: None
) -> _T | None:
    """Wait for some work; cancel it and return None if the client leaves before it is done.

    Args:
        request: The client's request.
        work: What the client waits for.
        discard: Disposes of a result that comes although the work was cancelled.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(wait_for_disconnect(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        has_left = not working.done()
        if has_left:
            working.cancel()
    if not has_left:
        return working.result()
    with suppress(asyncio.CancelledError, ServiceError):
        discard(await working)
    return None


class ClientConnection:
    """Writes to one client, and watches how long the service is silent and the client takes nothing."""

    def __init__(
        self,
        send: Send,
        *,
        write_at_once: Callable[[bytes], bool] | None,
        ping_seconds: float,
        slow_reader_seconds: float,
        wake: Callable[[], None],
        disconnect: Callable[[], None],
    ) -> None:
        self.is_ping_due = False
        self._send = send
        self._write_at_once = write_at_once
        self._wake = wake
        self._now = asyncio.get_running_loop().time
        self._wrote_at = self._now()
        self._is_writing = False
        self._pings = LazyTimer(lambda: self._wrote_at + ping_seconds, self._ask_for_ping)
        self._patience = LazyTimer(
            lambda: (self._wrote_at if self._is_writing else self._now()) + slow_reader_seconds, disconnect
        )

    def __enter__(self) -> Self:
        self._pings.start()
        self._patience.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pings.cancel()
        self._patience.cancel()

    async def send(self, message: Message) -> None:
        """Send one ASGI message. It waits while the client takes nothing."""
        self._wrote_at = self._now()
        self._is_writing = True
        await self._send(message)
        self._is_writing = False

    async def write(self, body: bytes, *, is_last: bool = False) -> None:
        """Write a part of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": not is_last})

    def write_at_once(self, body: bytes) -> bool:
        """Write a part of the body if the client takes it now; return whether it was written."""
        if self._write_at_once is None or not self._write_at_once(body):
            return False
        self._wrote_at = self._now()
        return True

    async def ping(self) -> None:
        """Write a comment line, and wait for the next silence."""
        self.is_ping_due = False
        await self.write(_PING)
        self._pings.start()

    def _ask_for_ping(self) -> None:
        self.is_ping_due = True
        self._wake()
