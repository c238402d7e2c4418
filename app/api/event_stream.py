"""A turn as an event stream."""

import asyncio
from collections.abc import Mapping
from functools import partial

import structlog
from opentelemetry.trace import get_current_span
from sse_starlette.sse import AppStatus
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.connection import (
    ABORT_EXTENSION,
    CONTINUE_EXTENSION,
    WRITE_EXTENSION,
    ClientConnection,
    Extensions,
    extensions_of,
    on_leave,
)
from app.api.errors import error_json, quota_headers
from app.api.framing import Framing
from app.errors import error_for
from app.models import TurnEnd
from app.turns.reader_slots import ReaderSlot
from app.turns.stream import Reader

# Importing the library makes it end every stream as soon as the server is asked to stop. This server stops
# only after its turns have ended.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]

_WRITE_BYTES = 32 * 1024
"""About the size of one write. A reader has its full time for each; no event is split over two writes."""

_log = structlog.get_logger()


class TurnResponse(Response):
    """Follows a turn from a reader's position to its one terminal event.

    A token costs it one write in the call that publishes the token, if the client takes it at once, and moves
    the deadlines of timers that run already. sse-starlette's response would wake tasks and set time-outs.
    """

    def __init__(
        self,
        reader: Reader,
        framing: Framing,
        slot: ReaderSlot,
        *,
        request_id: str,
        ping_seconds: float,
        slow_reader_seconds: float,
    ) -> None:
        self.status_code = 200
        self.background = None
        # As an attribute of the class it would also be the media type of the route's errors.
        self.media_type = "text/event-stream"
        self.init_headers(turn_headers(reader))
        self._reader = reader
        self._framing = framing
        self._slot = slot
        self._request_id = request_id
        self._ping_seconds = ping_seconds
        self._slow_reader_seconds = slow_reader_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        extensions = extensions_of(scope)
        # The span of a request that is traced has to last as long as its stream.
        if CONTINUE_EXTENSION in extensions and not get_current_span().is_recording():
            extensions[CONTINUE_EXTENSION]["continue_with"](partial(self._stream, extensions, send))
        else:
            await self._stream(extensions, send)

    async def _stream(self, extensions: Extensions, send: Send) -> None:
        with self._slot, self._reader, on_leave(extensions, self._reader.close):
            await self._follow(extensions, send)

    async def _follow(self, extensions: Extensions, send: Send) -> None:
        def disconnect() -> None:
            _log.info("slow reader disconnected", turn_id=self._reader.stream.id)
            extensions[ABORT_EXTENSION]["abort"]()

        with ClientConnection(
            send,
            write_at_once=extensions.get(WRITE_EXTENSION, {}).get("write"),
            ping_seconds=self._ping_seconds,
            slow_reader_seconds=self._slow_reader_seconds,
            wake=self._reader.wake,
            disconnect=disconnect,
        ) as connection:
            await connection.send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            if opening := self._framing.opening():
                await connection.write(opening)
            await self._write_turn(connection)

    async def _write_turn(self, connection: ClientConnection) -> None:
        reader = self._reader
        unsent: list[bytes] = []

        def write_at_once(first: int, events: list[bytes]) -> bool:
            """Write new events in the call that publishes them: no task wakes for a token."""
            for frames in _frames(events, first, self._framing):
                if unsent or not connection.write_at_once(frames):
                    unsent.append(frames)
            return not unsent

        while reader.is_open:
            if unsent or reader.is_behind:
                due = [*unsent, *self._take_frames()]
                unsent.clear()
                for frames in due:
                    await connection.write(frames)
                if not due:  # the client has these events already, and other tasks get their turn
                    await asyncio.sleep(0)
            elif reader.stream.end is not None:
                data = _terminal_data(reader.stream.end, reader.stream.id, self._request_id)
                await connection.write(self._framing.terminal(data), is_last=True)
                return
            elif connection.is_ping_due:
                await connection.ping()
            else:
                await reader.wait(write_at_once)

    def _take_frames(self) -> list[bytes]:
        """Take events and encode them, joined to writes of a bounded size."""
        events = self._reader.take()
        return _frames(events, self._reader.position - len(events) + 1, self._framing)


def turn_headers(reader: Reader) -> Mapping[str, str]:
    """Make the headers of every response that stands for a turn."""
    stream = reader.stream
    return {
        "X-Turn-Id": stream.id,
        "Location": f"/chat/{stream.id}",
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
        **({"X-History-Trimmed": str(stream.dropped_messages)} if stream.dropped_messages else {}),
        **(quota_headers(reader.quota) if reader.quota is not None else {}),
    }


def _frames(events: list[bytes], first: int, framing: Framing) -> list[bytes]:
    """Encode events, and join them to writes of a bounded size."""
    writes: list[bytes] = []
    frames: list[bytes] = []
    size = 0
    for number, data in enumerate(events, first):
        frame = framing.event(number, data)
        size += len(frame)
        frames.append(frame)
        if size > _WRITE_BYTES:
            writes.append(b"".join(frames))
            frames, size = [], 0
    if size:
        writes.append(b"".join(frames))
    return writes


def _terminal_data(end: TurnEnd, turn_id: str, request_id: str) -> bytes:
    if end.code is None:
        return b"[DONE]"
    return error_json(error_for(end.code, end.message, turn_id=turn_id), request_id)
