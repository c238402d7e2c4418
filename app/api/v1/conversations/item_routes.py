"""`/v1/conversations/{conversation_id}/items`."""

from typing import Any

import msgspec
from fastapi import APIRouter, Depends, Request, Response

from app.api.dependencies import ServiceDep, ViewerDep, require_json
from app.api.errors import openapi_responses
from app.api.v1.bodies import MESSAGE_SCHEMA, body_schema, json_response, read_object
from app.api.v1.conversations.access import body_of, own_conversation
from app.api.v1.conversations.items import add_items, delete_item
from app.api.v1.conversations.routes import JSON, WITH_BODY
from app.api.v1.conversations.routes import router as conversations
from app.api.v1.paging import PageQuery, item_list
from app.errors import ValidationFailed
from app.responses.errors import ItemNotFound
from app.responses.input import read_items
from app.responses.request import convert
from app.store.faults import request_deadline

router = APIRouter(
    prefix="/v1/conversations/{conversation_id}/items",
    tags=["v1"],
    responses={**conversations.responses, **openapi_responses(ItemNotFound)},
)


class NewItems(msgspec.Struct):
    """The body with which items are added."""

    items: list[Any]


@router.post(
    "",
    response_class=Response,
    status_code=200,
    dependencies=[Depends(require_json)],
    openapi_extra=body_schema("items", items={"type": "array", "minItems": 1, "items": MESSAGE_SCHEMA}),
    responses={**JSON, **WITH_BODY},
)
async def create_items(
    request: Request, conversation_id: str, viewer: ViewerDep, service: ServiceDep
) -> Response:
    """Append items to a conversation."""
    conversation = await own_conversation(service, viewer, conversation_id)
    items = read_items(convert(await read_object(request), NewItems).items, "items")
    if not items:
        raise ValidationFailed("items: expected at least one item", param="items")
    async with request_deadline():
        added = await add_items(service, conversation, items)
    return json_response(item_list(added, has_more=False))


@router.get("", response_class=Response, status_code=200, responses=JSON)
async def list_items(
    conversation_id: str, viewer: ViewerDep, service: ServiceDep, query: PageQuery
) -> Response:
    """List the items of a conversation, the newest first unless `order` says otherwise."""
    conversation = await own_conversation(service, viewer, conversation_id)
    async with request_deadline():
        page = await service.items.page(
            conversation.user_id,
            conversation_id,
            limit=query.limit,
            is_descending=query.is_descending,
            after=query.after,
        )
    if page is None:
        raise ItemNotFound(param="after")
    return json_response(item_list(list(map(msgspec.json.decode, page.items)), has_more=page.has_more))


@router.get("/{item_id}", response_class=Response, status_code=200, responses=JSON)
async def retrieve_item(
    conversation_id: str, item_id: str, viewer: ViewerDep, service: ServiceDep
) -> Response:
    """Read one item."""
    conversation = await own_conversation(service, viewer, conversation_id)
    async with request_deadline():
        found = await service.items.item(conversation.user_id, conversation_id, item_id)
    if found is None:
        raise ItemNotFound
    return json_response(msgspec.json.decode(found))


@router.delete("/{item_id}", response_class=Response, status_code=200, responses=JSON)
async def remove_item(conversation_id: str, item_id: str, viewer: ViewerDep, service: ServiceDep) -> Response:
    """Delete one item, and return the conversation."""
    conversation = await own_conversation(service, viewer, conversation_id)
    async with request_deadline():
        await delete_item(service, conversation, item_id)
    return json_response(body_of(conversation))
