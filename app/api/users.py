"""`/users`: reads and erases a user's conversations."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response
from pydantic.json_schema import SkipJsonSchema

from app import errors
from app.api.dependencies import ConversationId, ServiceDep, UserId
from app.api.errors import openapi_responses
from app.api.paging import decode_place, encode_place
from app.api.schemas import ActiveTurnBody, ConversationList, ConversationPage, ConversationSummary
from app.clock import rfc3339
from app.models import ActiveTurn
from app.store.conversation_index import ConversationPlace
from app.store.faults import request_deadline
from app.store.history import MessagePlace
from app.store.titles import title_from

router = APIRouter(
    prefix="/users/{user_id}",
    tags=["users"],
    responses=openapi_responses(
        errors.InvalidApiKey,
        errors.Forbidden,
        errors.MisdirectedRequest,
        errors.NotFound,
        errors.ValidationFailed,
        errors.InternalError,
        errors.HistoryUnavailable,
        errors.UpstreamUnavailable,
    ),
)


Limit = Annotated[int, Query(ge=1, le=200)]
# If it is missing, it is None; a query has no null.
Before = Annotated[str | SkipJsonSchema[None], Query()]


@router.get("/conversations")
async def list_conversations(
    user_id: UserId, service: ServiceDep, limit: Limit = 50, before: Before = None
) -> ConversationList:
    """List the user's conversations, newest first."""
    place = decode_place(before, ConversationPlace)
    async with request_deadline():
        page, next_place = await service.history.conversations(user_id, limit=limit, before=place)
        titles = await service.titles.titles(user_id, [each.conversation_id for each in page])
    return ConversationList(
        user_id=user_id,
        conversations=[
            ConversationSummary(
                conversation_id=each.conversation_id,
                title=titles.get(each.conversation_id)
                or _first_title(each.active_turn, each.conversation_id),
                message_count=each.message_count,
                updated_at=rfc3339(datetime.fromtimestamp(each.updated_at_ms / 1000, UTC)),
                active_turn=_active_turn(each.active_turn),
            )
            for each in page
        ],
        next_before=encode_place(next_place),
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
    """Read a conversation's messages, oldest first: the newest ones, or those before an earlier page."""
    place = decode_place(before, MessagePlace)
    async with request_deadline():
        page = await service.history.page(user_id, conversation_id, limit=limit, before=place)
    if not page.exists:
        raise errors.ConversationNotFound
    return ConversationPage.model_validate(
        {
            "user_id": user_id,
            "conversation_id": conversation_id,
            "active_turn": _active_turn(page.active_turn),
            "messages": [msgspec.to_builtins(message) for message in page.messages],
            "next_before": encode_place(page.before),
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


def _first_title(turn: ActiveTurn | None, conversation_id: str) -> str:
    """Return the title of a conversation whose first question is being answered."""
    return (turn and title_from(turn.message)) or conversation_id


def _active_turn(turn: ActiveTurn | None) -> ActiveTurnBody | None:
    return None if turn is None else ActiveTurnBody(**msgspec.structs.asdict(turn))
