"""One event of a completion stream: its JSON as it came, and the few fields of it that the service needs."""

import json
from typing import Any, NamedTuple

import msgspec

from app.errors import UpstreamError

_FAILED_FINISHES = frozenset({"abort", "error"})


class Chunk(NamedTuple):
    """A chunk to relay, with what was read out of it."""

    data: bytes
    """The backend's own JSON, on one line."""
    content: str = ""
    """The text of the answer alone: neither reasoning nor tool calls."""
    has_content: bool = False
    """Whether it carries anything that a model made, reasoning and tool calls included."""
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    is_usage_only: bool = False
    """The extra chunk of `stream_options.include_usage`, whose `choices` are empty."""


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning: Any = None
    reasoning_content: Any = None
    tool_calls: Any = None
    refusal: Any = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode


def parse_chunk(data: bytes) -> Chunk:
    """Read one event's data.

    Raises:
        UpstreamError: It is no completion chunk, an error object, or a finish that is a failure.
    """
    body = _parse(data)
    if body.error is not None:
        raise UpstreamError
    if b"\n" in data:
        # Outside of strings a line feed is white space, and inside of them JSON allows none.
        data = data.replace(b"\n", b" ")
    if not body.choices:
        return Chunk(data, usage=body.usage, is_usage_only=bool(body.usage) and body.choices is not None)
    choice = body.choices[0]
    if choice.finish_reason in _FAILED_FINISHES:
        raise UpstreamError
    delta = choice.delta or _Delta()
    content = delta.content or ""
    return Chunk(
        data,
        content,
        bool(content or delta.reasoning or delta.reasoning_content or delta.tool_calls or delta.refusal),
        choice.finish_reason or None,
        body.usage,
    )


def _parse(data: bytes) -> _Body:
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        try:
            # A surrogate pair split over two chunks is valid JSON to the standard library alone.
            return _without_surrogates(msgspec.convert(json.loads(data), _Body))
        except (ValueError, RecursionError, msgspec.ValidationError):
            raise UpstreamError("The model's backend sent something that is no completion chunk.") from error


def _without_surrogates(body: _Body) -> _Body:
    """Repair what is kept as it came; content is put together first."""
    body.usage = json.loads(json.dumps(body.usage, ensure_ascii=False).encode("utf-8", "replace"))
    for choice in body.choices or ():
        choice.finish_reason = (choice.finish_reason or "").encode("utf-8", "replace").decode()
    return body
