"""The data that all layers share: messages, turns and requests."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, NamedTuple

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
    ended_at: int | None = None
    """When a response was complete, in seconds since the epoch."""

    @classmethod
    def from_error(cls, error: ServiceError, status: TurnStatus = "error") -> "TurnEnd":
        """Describe the end of a turn whose answer is incomplete or not stored."""
        return cls(status, error.code, error.message)

    def without_message(self) -> "TurnEnd":
        """Return the end without its words: a backend's may quote the question."""
        return msgspec.structs.replace(self, message=None)


LOST = TurnEnd.from_error(GenerationLost(), "interrupted")
"""The end of a turn whose owner is gone, or has lost its lease."""


_NO_CONVERSATION = "/"
"""Begins the place, in `conversation_id`, of a turn that belongs to no conversation: no name has a slash."""


def place_without_conversation(turn_id: str) -> str:
    """Return what stands for the conversation of a turn that belongs to none."""
    return _NO_CONVERSATION + turn_id


class ResponseRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a response, validated, with defaults filled in. It is stored with the response."""

    echo: dict[str, Any]
    """The fields of the response that repeat the request."""
    input: list[dict[str, Any]]
    """The items of the input, without ids."""
    has_logprobs: bool = False
    """Whether the client asked for the tokens' probabilities."""

    @property
    def is_background(self) -> bool:
        """Whether the response runs to its end without a reader."""
        return bool(self.echo["background"])

    @property
    def is_stored(self) -> bool:
        """Whether the response can be retrieved by its id."""
        return bool(self.echo["store"])

    @property
    def previous_response_id(self) -> str | None:
        """The response that this one follows."""
        previous: str | None = self.echo["previous_response_id"]
        return previous


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
    scope: str = ""
    """Which callers reach the turn by its id; empty: each that may speak for the user."""
    response: ResponseRequest | None = None
    """What `/v1/responses` was asked for; None: the turn is not of a response."""

    @property
    def created_ms(self) -> int:
        """When the turn was created, in milliseconds since the epoch."""
        return int(datetime.fromisoformat(self.created_at).timestamp() * 1000)

    @property
    def history_id(self) -> str:
        """The conversation whose history keeps the turn; empty if none does."""
        return "" if self.conversation_id.startswith(_NO_CONVERSATION) else self.conversation_id


class ActiveTurn(msgspec.Struct, frozen=True):
    """The question of a conversation that is being answered now."""

    turn_id: str
    message: str
    created_at: str


Busy = Literal["reject_if_read", "reject", "interrupt"]
"""What to do if the conversation has a running turn. One without a reader is replaced, unless `reject`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnRequest:
    """What a client asks for, whichever front it came through: validated, with defaults filled in.

    Attributes:
        user_id: The user who asks.
        conversation_id: The conversation that the turn belongs to; None: the turn belongs to none, and no
            history keeps it.
        message: The user's message as it is stored; empty if no history keeps the turn.
        model: The model that is to answer.
        sampling: OpenAI's parameters for a prompt that the service builds, passed to the backend unchanged.
        completion: The whole body of a completion that the client wrote itself; None: the service builds
            the prompt of the conversation and the message.
        include_usage: Whether the chunk that carries only usage is relayed.
        if_busy: What to do if the conversation has a running turn.
        idempotency_key: The key under which a repeated request finds the turn.
        grace_seconds: How long the turn goes on without a reader; None: as `RESUME_GRACE_SECONDS` says.
        scope: Which callers reach the turn by its id; empty: each that may speak for the user.
        is_limited: Whether the limits of a user count the turn: a credential that many share is not one user.
        is_background: Whether the request is answered at once, without the backend's first event or refusal,
            and the turn goes on as if it always had a reader.
        response: What `/v1/responses` was asked for; None: the turn is not of a response. Two requests are
            the same if this is, however the completion has grown meanwhile.
    """

    user_id: str
    model: str
    conversation_id: str | None = None
    message: str = ""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    completion: Mapping[str, Any] | None = None
    include_usage: bool = False
    if_busy: Busy = "reject_if_read"
    idempotency_key: str | None = None
    grace_seconds: float | None = None
    scope: str = ""
    is_limited: bool = True
    is_background: bool = False
    response: ResponseRequest | None = None

    @property
    def affinity(self) -> str:
        """What requests share that should go to the same backend: the user, and the conversation if any."""
        return f"{self.user_id}\n{self.conversation_id or ''}"

    @property
    def has_history(self) -> bool:
        """Whether the service builds the prompt of a conversation."""
        return bool(self.conversation_id) and self.completion is None

    def fingerprint(self) -> str:
        """Return a digest that is the same for two requests with the same content.

        Two releases compare it during a rolling update, so its fields keep their names.
        """
        asked: dict[str, Any] = {
            "conversation_id": self.conversation_id,
            "idempotency_key": self.idempotency_key,
            "include_usage": self.include_usage,
            "may_interrupt": self.if_busy == "interrupt",
            "message": self.message,
            "model": self.model,
            "sampling": self.sampling,
            "user_id": self.user_id,
        }
        if self.response is not None:
            asked["response"] = self.response
        elif self.completion is not None:
            asked["completion"] = self.completion
        return sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


class Viewer(NamedTuple):
    """Who asks for a turn by its id.

    Attributes:
        user_id: The user that the credential is for; None: it may speak for any.
        scope: What the credential, and the proxy that names users, tell apart.
    """

    user_id: str | None = None
    scope: str = ""

    def may_see(self, user_id: str, scope: str) -> bool:
        """Tell whether a turn of this user, made in this scope, is the viewer's own."""
        return (self.user_id is None or self.user_id == user_id) and (not scope or scope == self.scope)
