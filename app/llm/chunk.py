"""One event of a completion stream: its JSON as it came, and the few fields of it that the service needs."""

import json
from typing import Any

import msgspec

from app.errors import UpstreamError

_FAILED_FINISHES = frozenset({"abort", "error"})


class Chunk(msgspec.Struct, frozen=True, gc=False):
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


class _Choice(msgspec.Struct, gc=False):
    delta: Any = None
    finish_reason: Any = None


class _Body(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode


def parse_chunk(data: bytes) -> Chunk:
    """Read one event's data. What the service does not need may have any shape.

    Raises:
        UpstreamError: It is no completion chunk, an error object, or a finish that is a failure.
    """
    body = _parse(data)
    if body.error:
        raise UpstreamError
    if b"\n" in data:
        # Outside of strings a line feed is white space, and inside of them JSON allows none.
        data = data.replace(b"\n", b" ")
    usage = body.usage if isinstance(body.usage, dict) else None
    if not body.choices:
        return Chunk(data, usage=usage, is_usage_only=bool(usage))
    choice = body.choices[0]
    finish_reason = choice.finish_reason if isinstance(choice.finish_reason, str) else None
    if finish_reason in _FAILED_FINISHES:
        raise UpstreamError
    delta = choice.delta if isinstance(choice.delta, dict) else {}
    content = _text(delta.get("content"))
    return Chunk(
        data,
        content,
        bool(content) or any(value for name, value in delta.items() if name != "role"),
        finish_reason or None,
        usage,
    )


def _text(content: Any) -> str:
    """The text of a delta; Mistral's reasoning models send it in parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _parse(data: bytes) -> _Body:
    try:
        return _decode(data)
    except (ValueError, RecursionError) as error:
        try:
            # A surrogate pair split over two chunks is valid JSON to the standard library alone.
            return _without_surrogates(msgspec.convert(json.loads(data), _Body))
        except (ValueError, RecursionError):
            raise UpstreamError("The model's backend sent something that is no completion chunk.") from error


def _without_surrogates(body: _Body) -> _Body:
    """Repair what is kept as it came; content is put together first."""
    body.usage = json.loads(json.dumps(body.usage, ensure_ascii=False).encode("utf-8", "replace"))
    for choice in body.choices or ():
        if isinstance(choice.finish_reason, str):
            choice.finish_reason = choice.finish_reason.encode("utf-8", "replace").decode()
    return body
