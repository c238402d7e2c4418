"""The connection to one client: its pings, its patience, its end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self, TypeVar, cast

from sse_starlette import ServerSentEvent
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Scope, Send

from app.timer import LazyTimer

ABORT_EXTENSION = "app.abort"
"""The ASGI extension with which the server offers to abort a connection. Closing it waits for its reader."""
WRITE_EXTENSION = "app.write"
"""The ASGI extension with which the server offers to `write` a part of a body past all layers. It returns
whether the client took it at once; otherwise nothing is written."""
LEAVE_EXTENSION = "app.leave"
"""The ASGI extension with which the server offers the `departure` of the client."""
CONTINUE_EXTENSION = "app.continue"
"""The ASGI extension with which the server offers to `continue_with` what sends the rest of an answer, once
the application has returned. Until then all frames of the framework are kept in memory."""
INVALID_BODY_EXTENSION = "app.invalid_body"
"""The ASGI extension in which the server gives the `reason` why a body will never be complete."""

Extensions = Mapping[str, Mapping[str, Any]]
"""ASGI extensions by their names."""

_T = TypeVar("_T")
_PING = ServerSentEvent(comment="ping", sep="\n").encode()


def extensions_of(scope: Scope) -> Extensions:
    """Return the ASGI extensions that the server offers for a request."""
    return cast(Extensions, scope.get("extensions", {}))


class Departure:
    """The moment from which one request's client waits for nothing more.

    It has gone, or it has its whole answer, such as the head that answers a HEAD.
    """

    def __init__(self) -> None:
        self._has_come = False
        self._then: Callable[[], None] | None = None

    def call(self, then: Callable[[], None] | None) -> None:
        """Call this, instead of what was given before, when the client leaves; now if it has left."""
        if self._has_come and then is not None:
            then()
        else:
            self._then = then

    def announce(self) -> None:
        """Say that the moment has come."""
        self._has_come = True
        then, self._then = self._then, None
        if then is not None:
            then()


@contextmanager
def on_leave(extensions: Extensions, then: Callable[[], None]) -> Iterator[None]:
    """Call `then` if the client of a request leaves meanwhile, or has left already."""
    departure: Departure | None = extensions.get(LEAVE_EXTENSION, {}).get("departure")
    if departure is None:  # a server of a test, whose clients stay
        yield
        return
    departure.call(then)
    try:
        yield
    finally:
        departure.call(None)


async def or_disconnect(request: Request, work: Awaitable[_T]) -> _T:
    """Wait for some work; cancel it if the client leaves before it is done.

    Raises:
        ClientDisconnect: The client has left.
    """
    try:
        async with asyncio.timeout(None) as patience:
            with on_leave(extensions_of(request.scope), lambda: patience.reschedule(0)):
                return await work
    except TimeoutError:
        if patience.expired():
            raise ClientDisconnect from None
        raise


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
