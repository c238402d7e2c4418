"""Reads the body of `POST /v1/responses`. Fields that the service does not know are ignored."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from app.errors import ValidationFailed
from app.models import ResponseRequest
from app.responses.errors import UnsupportedValue
from app.responses.input import read_items
from app.responses.tools import read_tool_choice, read_tools
from app.usage import MAX_COUNT

_Body = TypeVar("_Body")

_MAX_METADATA, _MAX_KEY_CHARS, _MAX_VALUE_CHARS = 16, 64, 512
MAX_ECHO_BYTES = 1024 * 1024
"""How much of a request each answer to it repeats: `instructions`, `tools` and the like, for every reader."""
_LOGPROBS = "message.output_text.logprobs"
_PATH = re.compile(r" - at `\$\.?(\w*)")
_MISSING = re.compile(r"required field `(\w+)`")


class ResponseBody(msgspec.Struct, kw_only=True):
    """The fields of the body that have a type of their own."""

    input: str | list[Any] | None = None
    instructions: str | None = None
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: Any = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=MAX_COUNT)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=1, le=MAX_COUNT)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: list[str] | None = None
    user: Any = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @property
    def conversation_id(self) -> str | None:
        """The conversation that the response belongs to."""
        if isinstance(self.conversation, dict):
            found = self.conversation.get("id")
            if not isinstance(found, str):
                raise ValidationFailed("conversation: expected an id", param="conversation")
            return found
        return self.conversation


def read_body(body: Mapping[str, Any]) -> ResponseBody:
    """Check the body's fields, and that they fit together.

    Raises:
        ValidationFailed: They do not.
        UnsupportedValue: To ignore a field would break what it asks for.
    """
    read = convert(body, ResponseBody)
    if read.prompt is not None:
        raise UnsupportedValue("prompt: the service keeps no prompts", param="prompt")
    if read.background and read.store is False:
        raise ValidationFailed("background: expected store to be true", param="background")
    if read.previous_response_id is not None and read.conversation_id is not None:
        raise ValidationFailed(
            "previous_response_id: expected no conversation beside it", param="previous_response_id"
        )
    if not read.input and read.previous_response_id is None and read.conversation_id is None:
        raise ValidationFailed("input: expected a string or at least one item", param="input")
    return read


def read_request(body: ResponseBody, given: object, *, model: str) -> ResponseRequest:
    """Return the request with its defaults filled in.

    Args:
        body: The body's fields.
        given: The input, with the items that its references name.
        model: The model that is to answer.

    Raises:
        ValidationFailed, UnsupportedValue: A field does not have the shape that it needs.
    """
    tools = read_tools(body.tools or [])
    conversation_id = body.conversation_id
    echo = {
        "background": bool(body.background),
        "conversation": conversation_id and {"id": conversation_id},
        "frequency_penalty": body.frequency_penalty or 0.0,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": read_metadata(body.metadata),
        "model": model,
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "presence_penalty": body.presence_penalty or 0.0,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": _reasoning(body.reasoning or {}),
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": body.store is not False,
        "temperature": 1.0 if body.temperature is None else body.temperature,
        "text": _text(body.text or {}),
        "tool_choice": read_tool_choice(body.tool_choice, tools),
        "tools": tools,
        "top_logprobs": body.top_logprobs or 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": body.truncation or "disabled",
        "user": body.user if isinstance(body.user, str) else None,
    }
    encoded = msgspec.json.encode(echo)
    if len(encoded) > MAX_ECHO_BYTES:
        largest = max(
            ("instructions", "tools", "text"), key=lambda name: len(msgspec.json.encode(echo[name]))
        )
        raise ValidationFailed(
            f"{largest}: expected at most {MAX_ECHO_BYTES} bytes with all that the response repeats",
            param=largest,
        )
    return ResponseRequest(
        # As the store will return it, which may write a number differently: all replicas send the same.
        echo=msgspec.json.decode(encoded),
        input=[] if given is None else read_items(given, "input"),
        has_logprobs=bool(body.top_logprobs) or _LOGPROBS in (body.include or ()),
    )


def convert(body: Mapping[str, Any], kind: type[_Body]) -> _Body:
    """Check the types of a body's fields.

    Raises:
        ValidationFailed: One has another type.
    """
    # JSON does not tell 16.0 from 16.
    fields = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in body.items()
    }
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        found = _PATH.search(str(error)) or _MISSING.search(str(error))
        param = found[1] if found else None
        reason = _PATH.split(str(error))[0].replace("Expected", "expected", 1)
        raise ValidationFailed(f"{param}: {reason}" if param else reason, param=param) from None


def read_metadata(metadata: dict[str, str] | None) -> dict[str, str]:
    """Return metadata within OpenAI's bounds.

    Raises:
        ValidationFailed: It is beyond them.
    """
    metadata = metadata or {}
    if len(metadata) > _MAX_METADATA or any(
        len(key) > _MAX_KEY_CHARS or len(value) > _MAX_VALUE_CHARS for key, value in metadata.items()
    ):
        raise ValidationFailed(
            "metadata: expected at most 16 keys of 64 characters, with values of 512", param="metadata"
        )
    return metadata


def _reasoning(reasoning: dict[str, Any]) -> dict[str, Any]:
    found = {name: reasoning.get(name) for name in ("effort", "summary")}
    if any(value is not None and not isinstance(value, str) for value in found.values()):
        raise ValidationFailed("reasoning: expected strings", param="reasoning")
    return found


def _text(text: dict[str, Any]) -> dict[str, Any]:
    verbosity = text.get("verbosity")
    if verbosity is not None and not isinstance(verbosity, str):
        raise ValidationFailed("text: expected verbosity to be a string", param="text")
    extra = {} if verbosity is None else {"verbosity": verbosity}
    return {"format": _format(text.get("format")), **extra}


def _format(given: Any) -> dict[str, Any]:
    match given:
        case None | {"type": "text"}:
            return {"type": "text"}
        case {"type": "json_object"}:
            return {"type": "json_object"}
        case {"type": "json_schema", "name": str(name), "schema": dict(schema)}:
            return {
                "type": "json_schema",
                "name": name,
                "description": given.get("description"),
                "schema": schema,
                "strict": given.get("strict"),
            }
        case _:
            raise ValidationFailed("text: expected a format that the reference knows", param="text")
