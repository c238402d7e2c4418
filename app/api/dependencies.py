"""What routes get from the application and the request."""

import re
from collections.abc import AsyncIterator, Callable
from typing import Annotated, cast

import anyio
from fastapi import Depends, Header, Path, Request
from pydantic import WithJsonSchema

from app.api.event_stream import TurnResponse
from app.api.schemas import Name
from app.errors import Overloaded, UnsupportedMediaType, ValidationFailed
from app.security.caller import Caller
from app.service import Service
from app.turns.stream import Reader

_IDEMPOTENCY_KEY = r"[\x21-\x7e]{1,255}"


# None of these waits for anything, but FastAPI would take a plain function to a worker thread.


async def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


async def _caller(request: Request) -> Caller:
    return cast(Caller, request.state.caller)


async def _own_user_id(user_id: Annotated[Name, Path()], caller: "CallerDep") -> str:
    caller.require(user_id)
    return user_id


def _request_id(request: Request) -> str:
    return cast(str, request.state.request_id)


async def require_json(content_type: Annotated[str, Header(include_in_schema=False)] = "") -> None:
    """Refuse a body that does not say that it is JSON: a browser sends such a one to any host unasked."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedMediaType


class ReaderSlot:
    """A place among the readers that this process serves at once."""

    def __init__(self, slots: anyio.Semaphore) -> None:
        self._slots = slots
        self._is_taken = False

    def take(self) -> None:
        """Take it, once the request is known to be a good one.

        Raises:
            Overloaded: There is none.
        """
        try:
            self._slots.acquire_nowait()
        except anyio.WouldBlock:
            raise Overloaded from None
        self._is_taken = True

    def give_back(self) -> None:
        """Leave it to the next one, if it was taken."""
        if self._is_taken:
            self._slots.release()


async def _reader_slot(service: "ServiceDep") -> AsyncIterator[ReaderSlot]:
    """A slot that is given back once the response has ended."""
    slot = ReaderSlot(service.reader_slots)
    try:
        yield slot
    finally:
        slot.give_back()


async def idempotency_key(
    idempotency_key: Annotated[
        str | None, WithJsonSchema({"type": "string", "pattern": f"^{_IDEMPOTENCY_KEY}$"}), Header()
    ] = None,
) -> str | None:
    """The request's Idempotency-Key: 1 to 255 visible ASCII characters."""
    if idempotency_key is not None and not re.fullmatch(_IDEMPOTENCY_KEY, idempotency_key):
        raise ValidationFailed(
            "Idempotency-Key: expected 1 to 255 visible ASCII characters", param="Idempotency-Key"
        )
    return idempotency_key


async def _follow(request: Request, service: "ServiceDep") -> Callable[[Reader], TurnResponse]:
    settings = service.settings
    return lambda reader: TurnResponse(
        reader,
        request_id=_request_id(request),
        ping_seconds=settings.sse_ping_seconds,
        slow_reader_seconds=settings.slow_reader_seconds,
    )


ServiceDep = Annotated[Service, Depends(_service)]
CallerDep = Annotated[Caller, Depends(_caller)]
IdempotencyKey = Annotated[str | None, Depends(idempotency_key)]
ReaderSlotDep = Annotated[ReaderSlot, Depends(_reader_slot)]
FollowTurn = Annotated[Callable[[Reader], TurnResponse], Depends(_follow)]
"""Answers with the stream that a reader reads."""
UserId = Annotated[str, Depends(_own_user_id)]
"""Of the path; the caller may speak for this user."""
ConversationId = Annotated[Name, Path()]
