"""The data that all layers share: messages, turns and requests."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

import msgspec

from app.errors import GenerationLost, ServiceError
from app.usage import sanitised_usage

TurnStatus = Literal["complete", "stopped", "interrupted", "error"]


class UserMessage(msgspec.Struct, frozen=True, tag_field="role", tag="user"):
    """A question as it is stored."""

    content: str
    turn_id: str
    created_at: str


class AssistantMessage(msgspec.Struct, frozen=True, tag_field="role", tag="assistant"):
    """An answer as it is stored: its text alone, and how it ended."""

    content: str
    turn_id: str
    created_at: str
    status: TurnStatus
    model: str
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    """Within the bounds of `sanitised_usage`, also if an older release has stored more."""
    usage_estimated: bool = False

    def __post_init__(self) -> None:
        """Sanitise the usage, of a new message and of a stored one."""
        msgspec.structs.force_setattr(self, "usage", sanitised_usage(self.usage))


Message = UserMessage | AssistantMessage

_MAX_DIGITS = 20
_decode: Callable[[bytes | str], Message] = msgspec.json.Decoder[Message](Message).decode


def decode_message(element: bytes | str) -> Message:
    """Read a stored message. A usage that is not even JSON for a browser costs the usage, not the message.

    Raises:
        ValueError, RecursionError: It is no message.
    """
    try:
        return _decode(element)
    except ValueError:
        fields: Any = json.loads(element, parse_int=lambda digits: int(digits[:_MAX_DIGITS]))
        if not isinstance(fields, dict):
            raise
        return _decode(msgspec.json.encode({**fields, "usage": sanitised_usage(fields.get("usage"))}))


class TurnEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a turn ended. Without a code the answer is complete, or was stopped by its user, and is stored."""

    status: TurnStatus
    code: str | None = None
    message: str | None = None

    @classmethod
    def from_error(cls, error: ServiceError, status: TurnStatus = "error") -> "TurnEnd":
        """Describe the end of a turn whose answer is incomplete or not stored."""
        return cls(status, error.code, error.message)

    def without_message(self) -> "TurnEnd":
        """Return the end without its words: a backend's may quote the question."""
        return msgspec.structs.replace(self, message=None)


LOST = TurnEnd.from_error(GenerationLost(), "interrupted")
"""The end of a turn whose owner is gone, or has lost its lease."""


class TurnRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What identifies a turn: its user, its conversation, the question and when it was asked."""

    turn_id: str
    user_id: str
    conversation_id: str
    message: str
    model: str
    created_at: str
    request: str = ""
    """Digest of the Idempotency-Key that started the turn; empty if there was none."""


class ActiveTurn(msgspec.Struct, frozen=True):
    """The question of a conversation that is being answered now."""

    turn_id: str
    message: str
    created_at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """What a user asks for with one `POST /chat`: validated, with defaults filled in."""

    user_id: str
    conversation_id: str
    message: str
    model: str
    sampling: dict[str, Any] = field(default_factory=dict)
    """OpenAI's sampling parameters, passed to the backend unchanged."""
    include_usage: bool = False
    """Whether the chunk that carries only usage is relayed."""
    may_interrupt: bool = False
    """Whether to stop a running turn of the conversation for this one, even if it has a reader."""
    idempotency_key: str | None = None

    def fingerprint(self) -> str:
        """Return a digest that is the same for two requests with the same content."""
        asked = msgspec.json.encode(self, order="sorted")
        return sha256(asked).hexdigest()
