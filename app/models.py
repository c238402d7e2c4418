"""The words that all layers share: messages, turns and what a request asks for."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

import msgspec

from app.errors import GenerationLost, ServiceError

TurnStatus = Literal["complete", "stopped", "interrupted", "error"]


def rfc3339(moment: datetime) -> str:
    """A moment in UTC, to the millisecond, as RFC 3339 writes it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_rfc3339() -> str:
    """The time now."""
    return rfc3339(datetime.now(UTC))


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


class TurnEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a turn ended; without a code it is whole, or was stopped by its user, and is stored."""

    status: TurnStatus
    code: str | None = None
    message: str | None = None

    @classmethod
    def from_error(cls, error: ServiceError, status: TurnStatus = "error") -> "TurnEnd":
        """Describe the end of a turn whose answer is incomplete or not stored."""
        return cls(status, error.code, error.message)


LOST = TurnEnd.from_error(GenerationLost(), "interrupted")
"""The end of a turn whose owner is gone, or is its owner no more."""


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Whose turn it is, what was asked, and when."""

    turn_id: str
    user_id: str
    conversation_id: str
    message: str
    model: str
    created_at: str
    request: str = ""
    """Digest of the Idempotency-Key that started it; empty: none did."""


class ActiveTurn(msgspec.Struct, frozen=True):
    """The question of a conversation that is being answered."""

    turn_id: str
    message: str
    created_at: str


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
    may_interrupt: bool = False
    """Whether a running turn of the conversation is stopped for this one, also where somebody reads it."""
    idempotency_key: str | None = None

    def fingerprint(self) -> str:
        """The same for two requests that ask for the same."""
        asked = msgspec.json.encode(self, order="sorted")
        return sha256(asked).hexdigest()
