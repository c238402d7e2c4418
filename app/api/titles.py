"""Renames a user's conversations."""

import unicodedata
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app import errors
from app.api.dependencies import ConversationId, ServiceDep, UserId, require_json
from app.api.errors import openapi_responses
from app.store.faults import request_deadline
from app.store.titles import MAX_TITLE_CHARS

router = APIRouter(tags=["users"])


def _one_line(title: str) -> str:
    title = title.strip()
    if not title:
        raise ValueError("expected more than white space")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in title):
        raise ValueError("expected no control characters")
    return title


Title = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_TITLE_CHARS,
        json_schema_extra={
            "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
        },
    ),
    AfterValidator(_one_line),
]


class ConversationChange(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: Title


class ConversationTitle(BaseModel):
    conversation_id: str
    title: str


@router.patch(
    "/users/{user_id}/conversations/{conversation_id}",
    dependencies=[Depends(require_json)],
    responses=openapi_responses(
        errors.InvalidJson,
        errors.InvalidApiKey,
        errors.Forbidden,
        errors.NotFound,
        errors.ConversationNotFound,
        errors.RequestTimeout,
        errors.BodyTooLarge,
        errors.UnsupportedMediaType,
        errors.ValidationFailed,
        errors.InternalError,
        errors.HistoryUnavailable,
        errors.UpstreamUnavailable,
    ),
)
async def rename_conversation(
    user_id: UserId, conversation_id: ConversationId, change: ConversationChange, service: ServiceDep
) -> ConversationTitle:
    """Give a conversation another title."""
    async with request_deadline():
        exists = await service.titles.rename(user_id, conversation_id, change.title)
    if not exists:
        raise errors.ConversationNotFound
    return ConversationTitle(conversation_id=conversation_id, title=change.title)
