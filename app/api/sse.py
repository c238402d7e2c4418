"""A turn as an event stream."""

from collections.abc import AsyncGenerator, Mapping

import structlog
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus, SendTimeoutError
from starlette.types import Receive, Scope, Send

from app.api.errors import error_json
from app.turns.turn import Turn

# Importing the library makes it end every stream as soon as the server is asked to stop; here the server
# stops only after its turns have ended.
AppStatus.disable_automatic_graceful_drain()  # type: ignore[no-untyped-call]

ABORT_EXTENSION = "app.abort"
"""Under this name the server offers to cut the connection. Closing it would wait for the reader for ever."""

_SEPARATOR = "\n"

_log = structlog.get_logger()


class TurnResponse(EventSourceResponse):
    """Follows a turn from its first event to its one terminal event."""

    def __init__(
        self, turn: Turn, *, request_id: str, ping_seconds: float, slow_reader_seconds: float
    ) -> None:
        super().__init__(
            _events(turn, request_id),
            headers=_headers(turn),
            ping=ping_seconds,
            ping_message_factory=_ping,
            sep=_SEPARATOR,
            send_timeout=slow_reader_seconds,
        )
        self._turn_id = turn.id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except* SendTimeoutError:  # several, where a ping was waiting as well
            _log.info("disconnected a reader that takes nothing", turn_id=self._turn_id)
            scope["extensions"][ABORT_EXTENSION]["abort"]()


def _headers(turn: Turn) -> Mapping[str, str]:
    return {
        "X-Turn-Id": turn.id,
        "Location": f"/chat/{turn.id}",
        "Cache-Control": "no-store, no-transform",
    }


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment="ping", sep=_SEPARATOR)


async def _events(turn: Turn, request_id: str) -> AsyncGenerator[bytes, None]:
    number = 0
    turn_id = turn.id.encode()
    async for events in turn.follow():
        lines = []
        for data in events:
            number += 1
            lines.append(b"id: %b-%d\ndata: %b\n\n" % (turn_id, number, data))
        yield b"".join(lines)
    assert turn.end is not None  # following ends with the turn
    failure = turn.end.failure
    end = b"[DONE]" if failure is None else error_json(failure, request_id, turn_id=turn.id)
    yield b"id: %b-end\ndata: %b\n\n" % (turn_id, end)
