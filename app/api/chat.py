"""`/chat`: start a turn, follow it, stop it."""

from fastapi import APIRouter, Response

from app import errors
from app.api.connection import or_disconnect
from app.api.cursors import belongs_to, parse_last_event_id
from app.api.dependencies import ServiceDep, ViewerDep
from app.api.errors import START_ERRORS, openapi_responses
from app.api.event_stream import TurnResponse
from app.api.framing import NumberedFraming
from app.api.schemas import ChatRequest, StoppedTurn
from app.api.stream_call import FOLLOW_PARAMETERS, START_PARAMETERS, StreamCall
from app.api.stream_route import StreamRoute
from app.models import TurnRequest
from app.settings import Settings
from app.turns.stream import Reader

streams = APIRouter(tags=["chat"], route_class=StreamRoute)
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
        "One event for each of the backend's chunks, then one terminal event: `[DONE]` if the answer is "
        "complete, or was stopped by its user, and is stored; otherwise an error object."
    ),
    "content": {"text/event-stream": {"itemSchema": _EVENT}},
    "headers": {name: {"required": True, "schema": {"type": "string"}} for name in ("X-Turn-Id", "Location")},
}
_RECEIVED = {"description": "`Last-Event-ID` names the terminal event: there is nothing more to send."}


@streams.post(
    "/chat",
    response_class=TurnResponse,
    status_code=200,
    openapi_extra=START_PARAMETERS,
    responses={
        200: _STREAM,
        204: _RECEIVED,
        **openapi_responses(
            *START_ERRORS,
            errors.InvalidLastEventId,
            errors.ConversationBusy,
            errors.ValidationFailed,
            errors.IdempotencyKeyReused,
            errors.ModelNotAllowed,
            errors.TooManyConversations,
        ),
    },
)
async def start_turn(body: ChatRequest, call: StreamCall) -> Response:
    """Ask a question. The answer is streamed as Server-Sent Events and stored in the conversation.

    A repeat with the same `Idempotency-Key` attaches to the same turn, after the event that `Last-Event-ID`
    names if it is one of this turn.
    """
    call.caller.require(body.user_id)
    question = _question(body, call.service.settings, call.idempotency_key)
    call.slot.take()
    call.slot.assign(body.user_id)
    reader = await or_disconnect(call, call.service.engine.start(question))
    last_event_id = call.last_event_id
    if belongs_to(last_event_id, reader.stream.id) and not _resume(reader, last_event_id):
        return Response(status_code=204)
    return call.respond(reader, NumberedFraming(reader.stream.id))


@streams.get(
    "/chat/{turn_id}",
    response_class=TurnResponse,
    status_code=200,
    openapi_extra=FOLLOW_PARAMETERS,
    responses={
        200: _STREAM,
        204: _RECEIVED,
        **openapi_responses(
            errors.MisdirectedRequest,
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
async def follow_turn(turn_id: str, call: StreamCall) -> Response:
    """Follow a turn, running or ended, from its start or from the event after the last one received."""
    last_event_id = call.last_event_id
    position = parse_last_event_id(last_event_id, turn_id) if last_event_id else 0
    if position == "end":
        return Response(status_code=204)
    call.slot.take()
    reader = await call.service.directory.follow(turn_id, position, viewer=call.viewer)
    try:
        if not call.caller.is_shared_as(reader.stream.user_id):
            call.slot.assign(reader.stream.user_id)
    except errors.Overloaded:
        reader.close()
        raise
    return call.respond(reader, NumberedFraming(reader.stream.id))


@router.delete(
    "/chat/{turn_id}",
    responses=openapi_responses(
        errors.InvalidApiKey,
        errors.Forbidden,
        errors.MisdirectedRequest,
        errors.TurnNotFound,
        errors.ValidationFailed,
        errors.InternalError,
        errors.HistoryUnavailable,
        errors.UpstreamUnavailable,
    ),
)
async def stop_turn(turn_id: str, viewer: ViewerDep, service: ServiceDep) -> StoppedTurn:
    """Stop a running turn, and answer once it has stopped. A turn that has ended stays as it is."""
    return StoppedTurn(turn_id=turn_id, status=await service.directory.stop(turn_id, viewer=viewer))


def _resume(reader: Reader, last_event_id: str) -> bool:
    """Continue after the last event received, if there is anything more to send."""
    try:
        position = parse_last_event_id(last_event_id, reader.stream.id)
        if position == "end":
            reader.close()
            return False
        reader.resume_after(position)
    except errors.InvalidLastEventId:
        reader.close()
        raise
    return True


def _question(body: ChatRequest, settings: Settings, idempotency_key: str | None) -> TurnRequest:
    if len(body.message) > settings.max_message_chars:
        raise errors.ValidationFailed(
            f"message: expected at most {settings.max_message_chars} characters", param="message"
        )
    model = body.model or settings.llm_model
    if model not in settings.models:
        raise errors.ModelNotAllowed(param="model")
    return TurnRequest(
        user_id=body.user_id,
        conversation_id=body.conversation_id,
        message=body.message,
        model=model,
        sampling=body.sampling(),
        include_usage=body.stream_options.include_usage,
        if_busy="interrupt" if body.if_busy == "interrupt" else "reject_if_read",
        idempotency_key=idempotency_key,
    )
