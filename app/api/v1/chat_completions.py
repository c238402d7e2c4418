"""`/v1/chat/completions`: a completion whose prompt the client has written itself."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from app import errors
from app.api.connection import or_disconnect
from app.api.errors import START_ERRORS, openapi_responses
from app.api.event_stream import TurnResponse, turn_headers
from app.api.framing import PlainFraming
from app.api.stream_call import IDEMPOTENCY_KEY_PARAMETER, StreamCall
from app.api.stream_route import StreamRoute
from app.api.v1.bodies import read_flag, read_list, read_model, read_object, read_options, require_count
from app.api.v1.collect import collect
from app.errors import error_for
from app.models import TurnRequest
from app.prompts.sources import CAPS
from app.security.identity import Identity, identify
from app.turns.stream import Reader

router = APIRouter(prefix="/v1/chat/completions", tags=["v1"], route_class=StreamRoute)

_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["model", "messages"],
                "properties": {
                    "model": {"type": "string", "minLength": 1},
                    "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                    "stream": {"type": ["boolean", "null"]},
                    "stream_options": {
                        "type": ["object", "null"],
                        "properties": {"include_usage": {"type": ["boolean", "null"]}},
                    },
                    **{cap: {"type": ["integer", "null"], "minimum": 1} for cap in CAPS},
                },
            }
        }
    },
}
_COMPLETION = {
    "description": "The completion; with `stream` its chunks as the backend sends them, then `[DONE]`.",
    "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
}


@router.post(
    "",
    response_class=TurnResponse,
    status_code=200,
    openapi_extra={"requestBody": _BODY, "parameters": [IDEMPOTENCY_KEY_PARAMETER]},
    responses={
        200: _COMPLETION,
        **openapi_responses(
            *START_ERRORS,
            errors.ModelNotFound,
        ),
    },
)
async def create_completion(call: StreamCall) -> Response:
    """Complete a chat, as OpenAI's API does. No history keeps it.

    Without an `Idempotency-Key`, closing the connection stops the generation. With one, a repeat attaches.
    """
    body = await read_object(call)
    model = read_model(body, call.service.settings)
    read_list(body, "messages")
    is_streamed = read_flag(body, "stream")
    for cap in CAPS:
        require_count(body, cap)
    options = read_options(body, "stream_options")
    wants_usage = read_flag(options, "include_usage", within="stream_options.") or not is_streamed
    identity = identify(call.caller, call.trusted_user, body)
    call.slot.take()
    if identity.is_named:
        call.slot.assign(identity.user_id)
    asked = _turn_request(body, model, identity, call.idempotency_key, include_usage=wants_usage)
    reader = await or_disconnect(call, call.service.engine.start(asked))
    return call.respond(reader, PlainFraming()) if is_streamed else await _collected(call, reader, model)


def _turn_request(
    body: dict[str, Any],
    model: str,
    identity: Identity,
    idempotency_key: str | None,
    *,
    include_usage: bool,
) -> TurnRequest:
    return TurnRequest(
        user_id=identity.user_id,
        model=model,
        completion={**body, "model": model},
        include_usage=include_usage,
        idempotency_key=idempotency_key,
        # A closed connection is these clients' stop button. A key says that the client will come back.
        grace_seconds=None if idempotency_key else 0,
        scope=identity.scope,
        is_limited=identity.is_named,
    )


async def _collected(request: Request, reader: Reader, model: str) -> Response:
    """Wait for the whole completion, unless the client leaves."""
    events = await or_disconnect(request, _all_events(reader))
    return Response(
        collect(events, turn_id=reader.stream.id, model=model),
        media_type="application/json",
        headers={**turn_headers(reader), "Cache-Control": "no-store"},
    )


async def _all_events(reader: Reader) -> list[bytes]:
    """Read a turn to its end.

    Raises:
        ServiceError: The answer is not complete.
    """
    events: list[bytes] = []
    with reader:
        while True:
            if taken := reader.take():
                events += taken
                await asyncio.sleep(0)
            elif (end := reader.stream.end) is not None:
                break
            else:
                await reader.wait()
    if end.code is not None:
        raise error_for(end.code, end.message, turn_id=reader.stream.id)
    return events
