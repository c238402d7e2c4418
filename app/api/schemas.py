"""Bodies of requests and responses, as the OpenAPI description shows them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.models import TurnStatus
from app.names import MAX_NAME_CHARS, check_existing_name, check_name
from app.observability.readiness import Check


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("expected more than white space")
    return value


_NameField = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_NAME_CHARS,
        json_schema_extra={"pattern": r"^[^/\x00-\x1f\x7f-\x9f]*$", "not": {"enum": [".", ".."]}},
    ),
]
Name = Annotated[_NameField, AfterValidator(check_name)]
ExistingName = Annotated[_NameField, AfterValidator(check_existing_name)]
"""A name that an earlier release accepted: data stored under it can be read and erased."""
_MAX_INTEGER = 2**63 - 1
"""Backends store integers in 64 bits."""
StopSequence = Annotated[str, Field(min_length=1)]


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    include_usage: bool = False


class ChatRequest(BaseModel):
    """One question. Sampling parameters have OpenAI's meaning and are passed on to the backend."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={"examples": [{"user_id": "user123", "message": "Hello, who are you?"}]},
    )

    user_id: Name
    message: Annotated[
        str, Field(min_length=1, json_schema_extra={"pattern": r"\S"}), AfterValidator(_not_blank)
    ]
    conversation_id: Name = "default"
    if_busy: Literal["reject", "interrupt"] = "reject"
    """What to do if another turn of the conversation is running and has a reader."""
    model: Annotated[str, Field(min_length=1)] | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=_MAX_INTEGER)
    stop: StopSequence | Annotated[list[StopSequence], Field(max_length=4)] | None = None
    seed: int | None = Field(None, ge=-_MAX_INTEGER - 1, le=_MAX_INTEGER)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    stream_options: StreamOptions = StreamOptions()

    def sampling(self) -> dict[str, Any]:
        """Return the parameters that the backend gets unchanged."""
        return self.model_dump(
            include={
                "temperature",
                "top_p",
                "max_tokens",
                "stop",
                "seed",
                "presence_penalty",
                "frequency_penalty",
            },
            exclude_none=True,
        )


class StoppedTurn(BaseModel):
    turn_id: str
    status: TurnStatus


class ActiveTurnBody(BaseModel):
    """The question that is being answered. It is not among the messages yet."""

    turn_id: str
    message: str
    created_at: str


class ConversationSummary(BaseModel):
    conversation_id: str
    title: str = Field(description="The user's own title, or the first words of the first question.")
    message_count: int
    updated_at: str
    active_turn: ActiveTurnBody | None


class ConversationList(BaseModel):
    user_id: str
    conversations: list[ConversationSummary]
    next_before: str | None = Field(description="Send it as `before` to get the next page.")


class UserMessageBody(BaseModel):
    role: Literal["user"]
    content: str
    turn_id: str
    created_at: str


class AssistantMessageBody(BaseModel):
    role: Literal["assistant"]
    content: str
    turn_id: str
    created_at: str
    status: TurnStatus
    model: str
    finish_reason: str | None
    usage: dict[str, Any] | None
    usage_estimated: bool


class ConversationPage(BaseModel):
    user_id: str
    conversation_id: str
    active_turn: ActiveTurnBody | None
    messages: list[UserMessageBody | AssistantMessageBody]
    next_before: str | None = Field(description="Send it as `before` to get the page of older messages.")


class ErrorDetail(BaseModel):
    message: str
    type: Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]
    code: str
    param: str | None
    request_id: str
    turn_id: str | None = Field(None, description="The turn concerned, if there is one.")


class ErrorBody(BaseModel):
    """The shape of every failure, in a JSON body and in a stream."""

    error: ErrorDetail


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    status: Literal["ready", "not_ready", "draining"]
    checks: dict[str, Check]
