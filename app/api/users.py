"""`/users`: what is kept of a user's conversations, to read and to erase."""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic.json_schema import SkipJsonSchema

from app import errors
from app.api.dependencies import ConversationId, ServiceDep, UserId
from app.api.errors import openapi_responses
from app.api.schemas import ActiveTurnBody, ConversationList, ConversationPage, ConversationSummary
from app.clock import rfc3339
from app.models import ActiveTurn, Message
from app.store.faults import request_deadline

router = APIRouter(
    prefix="/users/{user_id}",
    tags=["users"],
    responses=openapi_responses(
        errors.InvalidApiKey,
        errors.Forbidden,
        errors.NotFound,
        errors.ValidationFailed,
        errors.InternalError,
        errors.HistoryUnavailable,
        errors.UpstreamUnavailable,
    ),
)

_Place = TypeVar("_Place", tuple[int, str], tuple[str, str])

Limit = Annotated[int, Query(ge=1, le=200)]
# Left out, it is None; there is no null in a query.
Before = Annotated[str | SkipJsonSchema[None], Query()]


@router.get("/conversations")
async def list_conversations(
    user_id: UserId, service: ServiceDep, limit: Limit = 50, before: Before = None
) -> ConversationList:
    """The user's conversations, newest first."""
    place = None if before is None else _decode_place(before, tuple[int, str])
    async with request_deadline():
        found = await service.history.conversations(user_id, limit=limit + 1, before=place)
    page = found[:limit]
    return ConversationList(
        user_id=user_id,
        conversations=[
            ConversationSummary(
                conversation_id=each.conversation_id,
                message_count=each.message_count,
                updated_at=rfc3339(datetime.fromtimestamp(each.updated_at_ms / 1000, UTC)),
                active_turn=_active_turn(each.active_turn),
            )
            for each in page
        ],
        next_before=_encode_place((page[-1].updated_at_ms, page[-1].conversation_id))
        if len(found) > limit
        else None,
    )


@router.get(
    "/conversations/{conversation_id}",
    responses=openapi_responses(errors.ConversationNotFound, errors.NotFound),
)
async def read_conversation(
    user_id: UserId,
    conversation_id: ConversationId,
    service: ServiceDep,
    limit: Limit = 50,
    before: Before = None,
) -> ConversationPage:
    """A conversation's messages, oldest first: the newest ones, or those before an earlier page."""
    place = None if before is None else _decode_place(before, tuple[str, str])
    async with request_deadline():
        # In this order: a turn that ends in between is in both, and then no longer active.
        active_turn = await service.history.active_turn(user_id, conversation_id)
        messages = await service.history.messages(user_id, conversation_id)
    if active_turn is not None and any(active_turn.turn_id == message.turn_id for message in messages):
        active_turn = None
    if not messages and active_turn is None:
        raise errors.ConversationNotFound
    end = len(messages) if place is None else _position(messages, place)
    start = max(0, end - limit)
    return ConversationPage.model_validate(
        {
            "user_id": user_id,
            "conversation_id": conversation_id,
            "active_turn": _active_turn(active_turn),
            "messages": [msgspec.to_builtins(message) for message in messages[start:end]],
            "next_before": _encode_place(_name(messages[start])) if 0 < start < end else None,
        }
    )


@router.delete("/conversations/{conversation_id}", status_code=204)
async def delete_conversation(
    user_id: UserId, conversation_id: ConversationId, service: ServiceDep
) -> Response:
    """Erase a conversation, its running turn too."""
    await service.eraser.delete_conversation(user_id, conversation_id)
    return Response(status_code=204)


@router.delete("", status_code=204)
async def delete_user(user_id: UserId, service: ServiceDep) -> Response:
    """Erase all text that is kept about the user."""
    await service.eraser.delete_user(user_id)
    return Response(status_code=204)


def _active_turn(turn: ActiveTurn | None) -> ActiveTurnBody | None:
    return None if turn is None else ActiveTurnBody(**msgspec.structs.asdict(turn))


def _name(message: Message) -> tuple[str, str]:
    return message.turn_id, type(message).__name__


def _position(messages: list[Message], name: tuple[str, str]) -> int:
    """Where the message stands now; where it is no longer kept, nothing before it is either."""
    return next((n for n, message in enumerate(messages) if _name(message) == name), 0)


def _encode_place(place: tuple[int, str] | tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _decode_place(text: str, kind: type[_Place]) -> _Place:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kind)
    except (ValueError, binascii.Error):
        raise errors.ValidationFailed(
            "before: expected a next_before as it was given", param="before"
        ) from None
