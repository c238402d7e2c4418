"""`POST /v1/responses`: starts the turn of a response, or attaches to it."""

import math
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from app import errors
from app.api.connection import or_disconnect
from app.api.dependencies import (
    CallerDep,
    IdempotencyKey,
    ReaderSlotDep,
    Respond,
    ServiceDep,
    TrustedUser,
    ViewerDep,
    require_json,
)
from app.api.errors import openapi_responses
from app.api.event_stream import TurnResponse
from app.api.v1.bodies import read_model, read_object
from app.api.v1.responses.access import json_response, so_far
from app.api.v1.responses.framing import ResponseFraming
from app.api.v1.responses.history import chain
from app.errors import TurnNotFound
from app.models import TurnRequest
from app.prompts.response_items import ChatMessage, chat_messages
from app.responses.completion import completion_fields
from app.responses.errors import PreviousResponseNotFound, UnsupportedValue
from app.responses.record import ResponseRecord, response_of
from app.responses.request import ResponseBody, read_body, read_request
from app.responses.response import Outcome, response_object
from app.security.identity import Identity, identify
from app.service import Service
from app.store.faults import request_deadline
from app.turns.stream import Reader

_CLIENT_CLOSED_REQUEST = 499

router = APIRouter(prefix="/v1/responses", tags=["v1"])

_MESSAGE = {
    "type": "object",
    "required": ["role", "content"],
    "properties": {
        "type": {"const": "message"},
        "role": {"enum": ["user", "assistant", "system", "developer"]},
        "content": {"type": "string", "minLength": 1},
    },
}
_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["model", "input"],
                "properties": {
                    "model": {"type": "string", "minLength": 1},
                    "input": {
                        "anyOf": [
                            {"type": "string", "minLength": 1},
                            {"type": "array", "minItems": 1, "items": _MESSAGE},
                        ]
                    },
                    "stream": {"type": ["boolean", "null"]},
                    "background": {"type": ["boolean", "null"]},
                },
            }
        }
    },
}
RESPONSE: dict[str, Any] = {
    "description": "The response; with `stream` its events.",
    "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
}


@router.post(
    "",
    response_class=TurnResponse,
    status_code=200,
    dependencies=[Depends(require_json)],
    openapi_extra={"requestBody": _BODY},
    responses={
        200: RESPONSE,
        **openapi_responses(
            errors.MisdirectedRequest,
            errors.InvalidJson,
            errors.ContextLengthExceeded,
            errors.UpstreamRejected,
            errors.InvalidApiKey,
            errors.Forbidden,
            errors.ModelNotFound,
            errors.TurnNotFound,
            errors.RequestTimeout,
            errors.ConversationBusy,
            errors.ConversationNotFound,
            PreviousResponseNotFound,
            UnsupportedValue,
            errors.TurnExpired,
            errors.BodyTooLarge,
            errors.UnsupportedMediaType,
            errors.RateLimited,
            errors.TooManyTurns,
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
async def create_response(
    *,
    request: Request,
    caller: CallerDep,
    viewer: ViewerDep,
    trusted_user: TrustedUser,
    service: ServiceDep,
    slot: ReaderSlotDep,
    respond: Respond,
    idempotency_key: IdempotencyKey,
) -> Response:
    """Create a response, as OpenAI's API does: whole, as a stream, or in the background."""
    fields = await read_object(request)
    model = read_model(fields, service.settings)
    body = read_body(fields)
    identity = identify(caller, trusted_user, fields)
    slot.take()
    slot.assign(identity.user_id)
    previous_id = body.previous_response_id
    earlier = [] if previous_id is None else await chain(service, viewer, previous_id)
    asked = _turn_request(body, model, identity, idempotency_key, earlier)
    reader = await or_disconnect(request, service.engine.start(asked), discard=Reader.close)
    if reader is None:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    try:
        response = await _record_of(service, reader)
    except BaseException:
        reader.close()
        raise
    if body.stream:
        return respond(reader, ResponseFraming(response, reader.stream))
    if body.background:
        with reader:
            return json_response(_queued(response), reader.stream.id)
    whole = await or_disconnect(request, _whole(response, reader))
    if whole is None:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)
    return json_response(whole, reader.stream.id)


def _turn_request(
    body: ResponseBody,
    model: str,
    identity: Identity,
    idempotency_key: str | None,
    earlier: list[ChatMessage],
) -> TurnRequest:
    asked = read_request(body, model=model)
    instructions = [] if body.instructions is None else [{"role": "system", "content": body.instructions}]
    messages = [*instructions, *earlier, *chat_messages(asked.input)]
    if not messages:
        raise errors.ValidationFailed("input: expected at least one message", param="input")
    return TurnRequest(
        user_id=identity.user_id,
        model=model,
        completion={**completion_fields(body, asked), "messages": messages},
        include_usage=True,
        if_busy="reject",
        idempotency_key=idempotency_key,
        grace_seconds=_grace_seconds(body, idempotency_key),
        scope=identity.scope,
        is_limited=identity.is_named,
        waits_for_status=not asked.is_background,
        response=asked,
    )


def _grace_seconds(body: ResponseBody, idempotency_key: str | None) -> float | None:
    if body.background:
        return math.inf
    # Nothing else could read it: a closed connection is the stop button.
    return 0 if body.store is False and idempotency_key is None else None


async def _record_of(service: Service, reader: Reader) -> ResponseRecord:
    """Return the record of the response; that of an earlier request is read from the store."""
    record = reader.record
    if record is None:
        async with request_deadline():
            stored = await service.responses.read(reader.stream.id)
        record = stored.record if stored is not None else None
    response = response_of(record) if record is not None else None
    if response is None:
        raise TurnNotFound(turn_id=reader.stream.id)  # it was deleted meanwhile
    return response


def _queued(response: ResponseRecord) -> dict[str, Any]:
    return response_object(response, Outcome("queued"), output=[])


async def _whole(response: ResponseRecord, reader: Reader) -> dict[str, Any]:
    """Wait for the end, and return the response with what came, also of a turn that has failed."""
    with reader:
        await reader.stream.ended()
        return await so_far(response, reader)
