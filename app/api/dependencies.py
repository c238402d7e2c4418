"""What routes depend on: the service, and what a request says in its headers and path."""

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, cast

from fastapi import Depends, Header, Path, Request

from app.api.cursors import LAST_EVENT_ID_PARAMETERS, last_event_id_of
from app.api.event_stream import TurnResponse
from app.api.framing import Framing
from app.api.schemas import ExistingName
from app.errors import UnsupportedMediaType, ValidationFailed
from app.models import Viewer
from app.security.caller import Caller
from app.security.identity import viewer_of
from app.service import Service
from app.turns.reader_slots import ReaderSlot
from app.turns.stream import Reader

_IDEMPOTENCY_KEY = r"[\x21-\x7e]{1,255}"


# None of these waits, but FastAPI runs plain functions in worker threads.


async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


async def _caller(request: Request) -> Caller:
    return cast(Caller, request.state.caller)


async def _own_user_id(user_id: Annotated[ExistingName, Path()], caller: "CallerDep") -> str:
    caller.require(user_id)
    return user_id


def _request_id(request: Request) -> str:
    return cast(str, request.state.request_id)


async def require_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse a body of any other type: pages of any origin may send such a body without being asked."""
    _require_json(content_type)


def _require_json(content_type: str) -> None:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedMediaType


async def _trusted_user(request: Request, service: "ServiceDep") -> str:
    """Return the user that a trusted proxy names; empty: none does."""
    return _trusted_user_of(request, service)


def _trusted_user_of(request: Request, service: Service) -> str:
    header = service.settings.trusted_user_header
    value = request.headers.get(header, "") if header else ""
    with suppress(UnicodeError):  # the framework reads headers as Latin-1, and proxies send UTF-8
        return value.encode("latin-1").decode()
    return value


async def _viewer(caller: "CallerDep", trusted_user: "TrustedUser") -> Viewer:
    return viewer_of(caller, trusted_user)


class StreamCall:
    """A request for a stream, with all that its route needs.

    FastAPI solves a dependency of its own for each of these in a tenth of a turn's time.
    """

    def __init__(self, request: Request) -> None:
        """Take no slot yet."""
        self.request = request
        self.service = cast(Service, request.app.state.service)
        self.caller = cast(Caller, request.state.caller)
        self.slot = ReaderSlot(self.service.reader_slots)
        self.last_event_id = last_event_id_of(request)

    @property
    def idempotency_key(self) -> str | None:
        """The request's Idempotency-Key.

        Raises:
            ValidationFailed: It is not 1 to 255 visible ASCII characters.
        """
        key = self.request.headers.get("Idempotency-Key")
        if key is not None and not re.fullmatch(_IDEMPOTENCY_KEY, key):
            raise ValidationFailed(
                "Idempotency-Key: expected 1 to 255 visible ASCII characters", param="Idempotency-Key"
            )
        return key

    @property
    def viewer(self) -> Viewer:
        """The caller as one who asks for a turn by its id."""
        return viewer_of(self.caller, self.trusted_user)

    @property
    def trusted_user(self) -> str:
        """The user that a trusted proxy names; empty: none does."""
        return _trusted_user_of(self.request, self.service)

    def respond(self, reader: Reader, framing: Framing) -> TurnResponse:
        """Make the response that streams to a reader."""
        settings = self.service.settings
        return TurnResponse(
            reader,
            framing,
            request_id=_request_id(self.request),
            ping_seconds=settings.sse_ping_seconds,
            slow_reader_seconds=settings.slow_reader_seconds,
        )


async def _follow_call(request: Request) -> AsyncIterator[StreamCall]:
    """Provide the request; its slot is released when the response has ended."""
    call = StreamCall(request)
    with call.slot:
        yield call


async def _start_call(request: Request) -> AsyncIterator[StreamCall]:
    """Provide a request whose body is JSON; its slot is released when the response has ended."""
    _require_json(request.headers.get("Content-Type", ""))
    call = StreamCall(request)
    with call.slot:
        yield call


FollowCall = Annotated[StreamCall, Depends(_follow_call)]
StartCall = Annotated[StreamCall, Depends(_start_call)]
FOLLOW_PARAMETERS = {"parameters": LAST_EVENT_ID_PARAMETERS}
IDEMPOTENCY_KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": f"^{_IDEMPOTENCY_KEY}$"},
}
START_PARAMETERS = {"parameters": [*LAST_EVENT_ID_PARAMETERS, IDEMPOTENCY_KEY_PARAMETER]}
"""What a call reads of headers and query, for OpenAPI."""

ServiceDep = Annotated[Service, Depends(_service)]
CallerDep = Annotated[Caller, Depends(_caller)]
TrustedUser = Annotated[str, Depends(_trusted_user)]
ViewerDep = Annotated[Viewer, Depends(_viewer)]
"""The caller as one who asks for a turn by its id."""
UserId = Annotated[str, Depends(_own_user_id)]
"""The user in the path, for whom the caller may speak."""
ConversationId = Annotated[ExistingName, Path()]
