"""A turn as an event stream, and a place in it as `Last-Event-ID`."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, Self

import structlog
from sse_starlette import ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.errors import error_json, quota_headers
from app.errors import InvalidLastEventId, error_for
from app.models import TurnEnd
from app.timer import LazyTimer
from app.turns.stream import Reader

# Importing the library makes it end every stream as soon as the server is asked to stop; here the server
# stops only after its turns have ended.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]

ABORT_EXTENSION = "app.abort"
"""Under this name the server offers to cut the connection. Closing it would wait for the reader for ever."""

_WRITE_BYTES = 32 * 1024
"""A reader has its full time for each write. Events stay whole: a ping may come between two writes."""
_PING = ServerSentEvent(comment="ping", sep="\n").encode()
_PLACE = re.compile(r"end|[1-9][0-9]{0,15}")

_log = structlog.get_logger()


def parse_last_event_id(last_event_id: str, turn_id: str) -> int | Literal["end"]:
    """The number of the event that a reader had last.

    Raises:
        InvalidLastEventId: It is malformed, or of another turn.
    """
    of_turn, _, place = last_event_id.rpartition("-")
    if of_turn != turn_id or not _PLACE.fullmatch(place):
        raise InvalidLastEventId(turn_id=turn_id)
    return "end" if place == "end" else int(place)


class TurnResponse(Response):
    """Follows a turn from a reader's place to its one terminal event.

    It writes ready bytes, and a token puts its timers off rather than setting one: sse-starlette's response
    would add a third to a token's cost.
    """

    def __init__(
        self, reader: Reader, *, request_id: str, ping_seconds: float, slow_reader_seconds: float
    ) -> None:
        self.status_code = 200
        self.background = None
        # As an attribute of the class it would be the type of the route's errors, too.
        self.media_type = "text/event-stream"
        self.init_headers(_headers(reader))
        self._reader = reader
        self._request_id = request_id
        self._ping_seconds = ping_seconds
        self._slow_reader_seconds = slow_reader_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # In a task of its own, so that a token does not wake all that stands around a response.
        following = asyncio.create_task(self._follow(scope, send))
        leaving = asyncio.create_task(wait_for_disconnect(receive))
        try:
            await asyncio.wait({following, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            self._reader.close()
            await following

    async def _follow(self, scope: Scope, send: Send) -> None:
        def disconnect() -> None:
            _log.info("disconnected a reader that takes nothing", turn_id=self._reader.stream.id)
            scope["extensions"][ABORT_EXTENSION]["abort"]()

        with ClientConnection(
            send,
            ping_seconds=self._ping_seconds,
            slow_reader_seconds=self._slow_reader_seconds,
            wake=self._reader.wake,
            disconnect=disconnect,
        ) as line:
            await line.send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            await self._write_turn(line)

    async def _write_turn(self, line: "ClientConnection") -> None:
        reader = self._reader
        while reader.is_open:
            if events := reader.take():
                for frames in _frames(events, reader):
                    await line.write(frames)
            elif reader.stream.end is not None:
                await line.write(
                    _terminal(reader.stream.end, reader.stream.id, self._request_id), is_last=True
                )
                return
            elif line.is_ping_due:
                await line.ping()
            else:
                await reader.wait()


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client has gone; what it sends until then is nobody's."""
    while (await receive())["type"] != "http.disconnect":
        pass


class ClientConnection:
    """The way to one client: how long it has been silent, and how long the client has taken nothing."""

    def __init__(
        self,
        send: Send,
        *,
        ping_seconds: float,
        slow_reader_seconds: float,
        wake: Callable[[], None],
        disconnect: Callable[[], None],
    ) -> None:
        self.is_ping_due = False
        self._send = send
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
        """Send one ASGI message; it waits where the client takes nothing."""
        self._wrote_at = self._now()
        self._is_writing = True
        await self._send(message)
        self._is_writing = False

    async def write(self, body: bytes, *, is_last: bool = False) -> None:
        """Send a part of the body."""
        await self.send({"type": "http.response.body", "body": body, "more_body": not is_last})

    async def ping(self) -> None:
        """Say that the line is alive, and wait for the next silence."""
        self.is_ping_due = False
        await self.write(_PING)
        self._pings.start()

    def _ask_for_ping(self) -> None:
        self.is_ping_due = True
        self._wake()


def _headers(reader: Reader) -> Mapping[str, str]:
    stream = reader.stream
    return {
        "X-Turn-Id": stream.id,
        "Location": f"/chat/{stream.id}",
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
        **({"X-History-Trimmed": str(stream.dropped_messages)} if stream.dropped_messages else {}),
        **(quota_headers(reader.quota) if reader.quota is not None else {}),
    }


def _frames(events: list[bytes], reader: Reader) -> Iterator[bytes]:
    """Events as they are written, gathered to writes of a bounded size; the reader has taken them last."""
    turn_id = reader.stream.id.encode()
    frames: list[bytes] = []
    size = 0
    for number, data in enumerate(events, reader.position - len(events) + 1):
        frames.append(b"id: %b-%d\ndata: %b\n\n" % (turn_id, number, data))
        size += len(data)
        if size > _WRITE_BYTES:
            yield b"".join(frames)
            frames, size = [], 0
    if frames:
        yield b"".join(frames)


def _terminal(end: TurnEnd, turn_id: str, request_id: str) -> bytes:
    data = (
        b"[DONE]"
        if end.code is None
        else error_json(error_for(end.code, end.message, turn_id=turn_id), request_id)
    )
    return b"id: %b-end\ndata: %b\n\n" % (turn_id.encode(), data)
