"""`/chat`: start a turn, follow it, stop it."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from app import errors
from app.api.dependencies import (
    CallerDep,
    FollowTurn,
    IdempotencyKey,
    ReaderSlotDep,
    ServiceDep,
    require_json,
)
from app.api.errors import openapi_responses
from app.api.event_stream import TurnResponse, parse_last_event_id, wait_for_disconnect
from app.api.schemas import ChatRequest, StoppedTurn
from app.models import Question
from app.settings import Settings
from app.turns.stream import Reader

_CLIENT_CLOSED_REQUEST = 499
"""For nobody to read; nginx's name for it."""

router = APIRouter(tags=["chat"])

_EVENT = {
    "type": "object",
    "required": ["id", "data"],
    "properties": {
        "id": {"type": "string", "pattern": r"^[^-]+-([1-9][0-9]*|end)$"},
        "data": {"type": "string"},
    },
}
_STREAM = {
    "description": (
        "Each of the backend's chunks as one event, then one terminal event: `[DONE]`, the answer is whole, "
        "or was stopped by its user, and is stored; or an error object."
    ),
    "content": {"text/event-stream": {"itemSchema": _EVENT}},
    "headers": {name: {"required": True, "schema": {"type": "string"}} for name in ("X-Turn-Id", "Location")},
}


@router.post(
    "/chat",
    response_class=TurnResponse,
    status_code=200,
    dependencies=[Depends(require_json)],
    responses={
        200: _STREAM,
        **openapi_responses(
            errors.InvalidJson,
            errors.ContextLengthExceeded,
            errors.UpstreamRejected,
            errors.InvalidApiKey,
            errors.Forbidden,
            errors.TurnNotFound,
            errors.RequestTimeout,
            errors.ConversationBusy,
            errors.TurnExpired,
            errors.BodyTooLarge,
            errors.UnsupportedMediaType,
            errors.ValidationFailed,
            errors.IdempotencyKeyReused,
            errors.ModelNotAllowed,
            errors.RateLimited,
            errors.TooManyTurns,
            errors.TooManyConversations,
            errors.UpstreamRateLimited,
            errors.InternalError,
            errors.UpstreamError,
            errors.HistoryUnavailable,
            errors.UpstreamUnavailable,
            errors.Draining,
            errors.Overloaded,
            errors.UpstreamTimeout,
        ),
    },
)
async def start_turn(
    *,
    request: Request,
    body: ChatRequest,
    caller: CallerDep,
    service: ServiceDep,
    slot: ReaderSlotDep,
    follow: FollowTurn,
    idempotency_key: IdempotencyKey,
) -> Response:
    """Ask a question; the answer is streamed as Server-Sent Events and kept in the conversation."""
    caller.require(body.user_id)
    question = _question(body, service.settings, idempotency_key)
    slot.take()
    reader = await _or_disconnect(request, service.engine.start(question))
    return follow(reader) if reader is not None else Response(status_code=_CLIENT_CLOSED_REQUEST)


@router.get(
    "/chat/{turn_id}",
    response_class=TurnResponse,
    status_code=200,
    responses={
        200: _STREAM,
        204: {"description": "The terminal event has been received; there is nothing more to come."},
        **openapi_responses(
            errors.InvalidLastEventId,
            errors.InvalidApiKey,
            errors.TurnNotFound,
            errors.TurnExpired,
            errors.ValidationFailed,
            errors.InternalError,
            errors.HistoryUnavailable,
            errors.UpstreamUnavailable,
            errors.Overloaded,
        ),
    },
)
async def follow_turn(
    *,
    turn_id: str,
    caller: CallerDep,
    service: ServiceDep,
    slot: ReaderSlotDep,
    follow: FollowTurn,
    last_event_id: Annotated[str, Header()] = "",
    last_event_id_query: Annotated[str, Query(alias="last_event_id")] = "",
) -> Response:
    """Follow a turn, running or ended, from its start or from the event after the last one received."""
    received = last_event_id or last_event_id_query
    place = parse_last_event_id(received, turn_id) if received else 0
    if place == "end":
        return Response(status_code=204)
    slot.take()
    return follow(await service.directory.follow(turn_id, place, only_of=caller.user_id))


@router.delete(
    "/chat/{turn_id}",
    responses=openapi_responses(
        errors.InvalidApiKey,
        errors.TurnNotFound,
        errors.ValidationFailed,
        errors.InternalError,
        errors.HistoryUnavailable,
        errors.UpstreamUnavailable,
    ),
)
async def stop_turn(turn_id: str, caller: CallerDep, service: ServiceDep) -> StoppedTurn:
    """Stop a running turn; the answer comes once it has stopped. A turn that has ended stays as it is."""
    return StoppedTurn(turn_id=turn_id, status=await service.directory.stop(turn_id, only_of=caller.user_id))


async def _or_disconnect(request: Request, starting: Coroutine[Any, Any, Reader]) -> Reader | None:
    """Wait for the turn's status; a client that has gone by then is no reader of it."""
    start = asyncio.create_task(starting)
    leave = asyncio.create_task(wait_for_disconnect(request.receive))
    try:
        await asyncio.wait({start, leave}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        leave.cancel()
        has_left = not start.done()
        if has_left:
            start.cancel()
    if not has_left:
        return start.result()
    with suppress(asyncio.CancelledError, errors.ServiceError):
        (await start).close()
    return None


def _question(body: ChatRequest, settings: Settings, idempotency_key: str | None) -> Question:
    if len(body.message) > settings.max_message_chars:
        raise errors.ValidationFailed(
            f"message: expected at most {settings.max_message_chars} characters", param="message"
        )
    model = body.model or settings.llm_model
    if model not in settings.models:
        raise errors.ModelNotAllowed(param="model")
    return Question(
        user_id=body.user_id,
        conversation_id=body.conversation_id,
        message=body.message,
        model=model,
        sampling=body.sampling(),
        include_usage=body.stream_options.include_usage,
        may_interrupt=body.if_busy == "interrupt",
        idempotency_key=idempotency_key,
    )
