"""`POST /v1/responses`: starts the turn of a response, or attaches to it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Response

from app import errors
from app.api.connection import or_disconnect
from app.api.errors import START_ERRORS, openapi_responses
from app.api.event_stream import TurnResponse
from app.api.stream_call import IDEMPOTENCY_KEY_PARAMETER, StreamCall
from app.api.stream_route import StreamRoute
from app.api.v1.bodies import MESSAGE_SCHEMA, body_schema, json_response, read_model, read_object
from app.api.v1.conversations.access import own_conversation
from app.api.v1.responses.access import so_far
from app.api.v1.responses.framing import ResponseFraming
from app.api.v1.responses.history import chain, said_in
from app.api.v1.responses.references import resolved
from app.errors import TurnNotFound
from app.models import ResponseRequest, TurnRequest, Viewer
from app.prompts.response_items import chat_messages
from app.prompts.response_prompts import ResponsePrompts, Turns
from app.responses.completion import completion_fields
from app.responses.errors import PreviousResponseNotFound, UnsupportedValue
from app.responses.input import text_of
from app.responses.record import ResponseRecord, response_of
from app.responses.request import ResponseBody, read_body, read_request
from app.responses.response import Outcome, response_object
from app.security.identity import Identity, identify
from app.service import Service
from app.store.conversation_items import StoredConversation
from app.store.faults import request_deadline
from app.turns.stream import Reader

streams = APIRouter(prefix="/v1/responses", tags=["v1"], route_class=StreamRoute)
router = APIRouter(prefix="/v1/responses", tags=["v1"])

_BODY = body_schema(
    "model",
    "input",
    model={"type": "string", "minLength": 1},
    input={
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "minItems": 1, "items": MESSAGE_SCHEMA},
        ]
    },
    stream={"type": ["boolean", "null"]},
    background={"type": ["boolean", "null"]},
)
RESPONSE: dict[str, Any] = {
    "description": "The response; with `stream` its events.",
    "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
}


@streams.post(
    "",
    response_class=TurnResponse,
    status_code=200,
    openapi_extra={**_BODY, "parameters": [IDEMPOTENCY_KEY_PARAMETER]},
    responses={
        200: RESPONSE,
        **openapi_responses(
            *START_ERRORS,
            errors.ModelNotFound,
            errors.ConversationBusy,
            errors.ConversationNotFound,
            PreviousResponseNotFound,
            UnsupportedValue,
        ),
    },
)
async def create_response(call: StreamCall) -> Response:
    """Create a response, as OpenAI's API does: whole, as a stream, or in the background."""
    fields = await read_object(call)
    model = read_model(fields, call.service.settings)
    body = read_body(fields)
    identity = identify(call.caller, call.trusted_user, fields)
    earlier, conversation = await _context(call.service, call.viewer, body)
    given = await resolved(call.service, call.viewer, body.input, conversation)
    asked = read_request(body, given, model=model)
    turn = _turn_request(asked, conversation, identity, call.idempotency_key)
    prompts = ResponsePrompts(
        completion_fields(body, asked),
        instructions=body.instructions,
        read_earlier=earlier,
        new=chat_messages(asked.input),
        is_trimmed=body.truncation == "auto",
        max_tokens=call.service.settings.llm_max_tokens,
        affinity=turn.affinity,
    )
    call.slot.take()
    if turn.is_limited:
        call.slot.assign(turn.user_id)
    reader = await or_disconnect(call, call.service.engine.start(turn, prompts))
    try:
        response = await _record_of(call.service, reader)
    except BaseException:
        reader.close()
        raise
    if body.stream:
        return call.respond(reader, ResponseFraming(response, reader.stream))
    if body.background:
        with reader:
            return json_response(await _as_begun(response, reader), turn_id=reader.stream.id)
    whole = await or_disconnect(call, _whole(response, reader))
    return json_response(whole, turn_id=reader.stream.id)


@router.post("/compact", include_in_schema=False)
@router.post("/input_tokens", include_in_schema=False)
async def refuse_what_is_missing() -> Response:
    """Say that there is nothing, as these are no ids of responses."""
    raise errors.NotFound


async def _context(
    service: Service, viewer: Viewer, body: ResponseBody
) -> tuple[Callable[[], Awaitable[Turns]], StoredConversation | None]:
    """Return what reads the turns before this one, and the conversation that the response belongs to.

    A chain of responses does not change. A conversation does, until the turn has it for itself.
    """
    conversation_id = body.conversation_id
    if conversation_id is not None:
        conversation = await own_conversation(service, viewer, conversation_id, param="conversation")
        return partial(said_in, service, conversation), conversation
    previous_id = body.previous_response_id
    turns = [] if previous_id is None else await chain(service, viewer, previous_id)

    async def earlier() -> Turns:
        return turns

    return earlier, None


def _turn_request(
    asked: ResponseRequest,
    conversation: StoredConversation | None,
    identity: Identity,
    idempotency_key: str | None,
) -> TurnRequest:
    user_id = identity.user_id if conversation is None else conversation.user_id
    return TurnRequest(
        user_id=user_id,
        conversation_id=None if conversation is None else conversation.conversation_id,
        message="" if conversation is None else text_of(asked.input, "user"),
        model=asked.echo["model"],
        include_usage=True,
        if_busy="reject",
        idempotency_key=idempotency_key,
        # If nothing else can read it, a closed connection is the stop button.
        grace_seconds=None if asked.is_stored or idempotency_key is not None else 0,
        scope=identity.scope if conversation is None else conversation.scope,
        # The conversation may belong to a credential that many share.
        is_limited=identity.is_named and identity.user_id == user_id,
        is_background=asked.is_background,
        response=asked,
    )


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


async def _as_begun(response: ResponseRecord, reader: Reader) -> dict[str, Any]:
    """Return a response in the background: as it stands if an earlier request has started it."""
    if reader.record is not None:
        return response_object(response, Outcome("queued"), output=[])
    return await so_far(response, reader)


async def _whole(response: ResponseRecord, reader: Reader) -> dict[str, Any]:
    """Wait for the end, and return the response with what came, also of a turn that has failed."""
    with reader:
        await reader.stream.ended()
        return await so_far(response, reader)
