"""The words that all layers share: messages, turns and what a request asks for."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

TurnStatus = Literal["complete", "stopped", "interrupted", "error"]


def now_rfc3339() -> str:
    """The time in UTC, to the millisecond, as RFC 3339 writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    """A question as it is kept."""

    content: str
    turn_id: str
    created_at: str


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    """An answer as it is kept: its text alone, and how it ended."""

    content: str
    turn_id: str
    created_at: str
    status: TurnStatus
    model: str
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    usage_estimated: bool = False


Message = UserMessage | AssistantMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a user asks for with one `POST /chat`, validated and with defaults filled in."""

    user_id: str
    conversation_id: str
    message: str
    model: str
    sampling: dict[str, Any] = field(default_factory=dict)
    """The OpenAI parameters that are handed to the backend as they came."""
    include_usage: bool = False
    """Whether the chunk that carries only usage is relayed."""
