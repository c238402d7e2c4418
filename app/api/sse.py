"""A turn as an event stream, and a place in it as `Last-Event-ID`."""

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Literal

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus, SendTimeoutError
from starlette.types import Receive, Scope, Send

from app.api.errors import error_json
from app.errors import InvalidLastEventId, error_for
from app.models import TurnEnd
from app.turns.turn import Reader, Turn

# Importing the library makes it end every stream as soon as the server is asked to stop; here the server
# stops only after its turns have ended.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]

ABORT_EXTENSION = "app.abort"
"""Under this name the server offers to cut the connection. Closing it would wait for the reader for ever."""

_WRITE_BYTES = 32 * 1024
"""A reader has its full time for each write. Events stay whole: a ping may come between two writes."""
_SEPARATOR = "\n"
_PLACE = re.compile(r"end|[1-9][0-9]{0,15}")

_log = structlog.get_logger()


def place_in_turn(last_event_id: str, turn_id: str) -> int | Literal["end"]:
    """The number of the event that a reader had last.

    Raises:
        InvalidLastEventId: It is malformed, or of another turn.
    """
    of_turn, _, place = last_event_id.rpartition("-")
    if of_turn != turn_id or not _PLACE.fullmatch(place):
        raise InvalidLastEventId(turn_id=turn_id)
    return "end" if place == "end" else int(place)


class TurnResponse(EventSourceResponse):
    """Follows a turn from a reader's place to its one terminal event."""

    def __init__(
        self, reader: Reader, *, request_id: str, ping_seconds: float, slow_reader_seconds: float
    ) -> None:
        super().__init__(
            _events(reader, request_id),
            headers=_headers(reader.turn),
            ping=ping_seconds,
            ping_message_factory=_ping,
            sep=_SEPARATOR,
            send_timeout=slow_reader_seconds,
        )
        # Whether the connection is kept is the server's to say.
        del self.headers["Connection"]
        self._reader = reader

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except* SendTimeoutError:  # several, where a ping was waiting as well
            _log.info("disconnected a reader that takes nothing", turn_id=self._reader.turn.id)
            scope["extensions"][ABORT_EXTENSION]["abort"]()
        finally:
            self._reader.close()


def _headers(turn: Turn) -> Mapping[str, str]:
    return {
        "X-Turn-Id": turn.id,
        "Location": f"/chat/{turn.id}",
        "Cache-Control": "no-store, no-transform",
        **({"X-History-Trimmed": str(turn.trimmed)} if turn.trimmed else {}),
    }


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping", sep=_SEPARATOR)


async def _events(reader: Reader, request_id: str) -> AsyncGenerator[bytes, None]:
    turn_id = reader.turn.id.encode()
    number = reader.position
    async for events in reader.events():
        frames: list[bytes] = []
        size = 0
        for data in events:
            number += 1
            frames.append(b"id: %b-%d\ndata: %b\n\n" % (turn_id, number, data))
            size += len(data)
            if size > _WRITE_BYTES:
                yield b"".join(frames)
                frames, size = [], 0
        if frames:
            yield b"".join(frames)
    assert reader.turn.end is not None  # a reader's events end with the turn
    yield b"id: %b-end\ndata: %b\n\n" % (turn_id, _terminal(reader.turn.end, reader.turn.id, request_id))


def _terminal(end: TurnEnd, turn_id: str, request_id: str) -> bytes:
    if end.code is None:
        return b"[DONE]"
    return error_json(error_for(end.code, end.message, turn_id=turn_id), request_id)
