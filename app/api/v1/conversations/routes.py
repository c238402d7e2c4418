"""Creates, reads, changes and deletes conversations."""

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from app import errors
from app.api.dependencies import CallerDep, ServiceDep, TrustedUser, ViewerDep, require_json
from app.api.errors import openapi_responses
from app.api.v1.bodies import (
    MESSAGE_SCHEMA,
    METADATA_SCHEMA,
    body_schema,
    json_response,
    read_object,
)
from app.api.v1.conversations.access import body_of, own_conversation
from app.api.v1.conversations.items import add_items
from app.clock import now_unix
from app.responses.errors import UnsupportedValue
from app.responses.ids import new_conversation_id
from app.responses.input import read_items
from app.responses.request import convert, read_metadata
from app.security.identity import identify
from app.store.conversation_items import StoredConversation
from app.store.faults import request_deadline

router = APIRouter(
    prefix="/v1/conversations",
    tags=["v1"],
    responses=openapi_responses(
        errors.MisdirectedRequest,
        errors.InvalidApiKey,
        errors.ConversationNotFound,
        errors.InternalError,
        errors.HistoryUnavailable,
        errors.UpstreamUnavailable,
    ),
)

JSON: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "As OpenAI's API has it.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}
WITH_BODY = openapi_responses(
    errors.InvalidJson,
    UnsupportedValue,
    errors.RequestTimeout,
    errors.BodyTooLarge,
    errors.UnsupportedMediaType,
    errors.TooManyConversations,
)


_ITEMS = {"type": ["array", "null"], "items": MESSAGE_SCHEMA}


class NewConversation(msgspec.Struct):
    """The body with which a conversation is created."""

    items: list[Any] | None = None
    metadata: dict[str, str] | None = None


class ConversationChange(msgspec.Struct):
    """The body with which a conversation is changed."""

    metadata: dict[str, str] | None


@router.post(
    "",
    response_class=Response,
    status_code=200,
    dependencies=[Depends(require_json)],
    openapi_extra=body_schema(items=_ITEMS, metadata=METADATA_SCHEMA),
    responses={**JSON, **WITH_BODY},
)
async def create_conversation(
    request: Request, caller: CallerDep, trusted_user: TrustedUser, service: ServiceDep
) -> Response:
    """Create a conversation, with items if the body has some."""
    fields = await read_object(request)
    body = convert(fields, NewConversation)
    items = read_items(body.items or [], "items")
    identity = identify(caller, trusted_user, fields)
    conversation = StoredConversation(
        conversation_id=new_conversation_id(),
        user_id=identity.user_id,
        scope=identity.scope,
        created_at=now_unix(),
        metadata=read_metadata(body.metadata),
    )
    async with request_deadline():
        await service.items.create(conversation, is_limited=identity.is_named)
        if items:
            await add_items(service, conversation, items)
    return json_response(body_of(conversation))


@router.get("/{conversation_id}", response_class=Response, status_code=200, responses=JSON)
async def retrieve_conversation(conversation_id: str, viewer: ViewerDep, service: ServiceDep) -> Response:
    """Read when a conversation was created, and its metadata."""
    return json_response(body_of(await own_conversation(service, viewer, conversation_id)))


@router.post(
    "/{conversation_id}",
    response_class=Response,
    status_code=200,
    dependencies=[Depends(require_json)],
    openapi_extra=body_schema("metadata", metadata=METADATA_SCHEMA),
    responses={**JSON, **WITH_BODY},
)
async def update_conversation(
    request: Request, conversation_id: str, viewer: ViewerDep, service: ServiceDep
) -> Response:
    """Replace the metadata of a conversation."""
    conversation = await own_conversation(service, viewer, conversation_id)
    body = convert(await read_object(request), ConversationChange)
    changed = msgspec.structs.replace(conversation, metadata=read_metadata(body.metadata))
    async with request_deadline():
        await service.items.set_metadata(conversation_id, changed.metadata)
    return json_response(body_of(changed))


@router.delete("/{conversation_id}", response_class=Response, status_code=200, responses=JSON)
async def delete_conversation(conversation_id: str, viewer: ViewerDep, service: ServiceDep) -> Response:
    """Delete a conversation with its items, its responses and the one that runs."""
    conversation = await own_conversation(service, viewer, conversation_id)
    await service.eraser.delete_conversation(conversation.user_id, conversation_id)
    return json_response({"id": conversation_id, "object": "conversation.deleted", "deleted": True})
