"""One event of a completion stream: its JSON as it came, and the few fields of it that the service needs."""

import json
import re
from typing import Any

import msgspec

from app.llm.finish import is_unset

MAX_FINISH_REASON_CHARS = 64

_BESIDE_CONTENT = frozenset(
    {"role", "index", "token_id", "annotations", "citations", "obfuscation", "extra_content"}
)
"""Fields of a delta that accompany what a model makes. Every other field is content, also an unknown one."""
_MAX_DIGITS = 20
_STRING_OR_CONSTANT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|-?(?:NaN|Infinity)')
"""In a text that the standard library has decoded: every string in it ends, so a search is linear."""


class NoChunk(Exception):
    """The data of an event is not a completion chunk."""


class ReportedFailure(Exception):
    """The data of an event is an error object."""


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
    """As it came: `app.usage` decides what of it is stored."""
    is_usage_only: bool = False
    """The extra chunk of `stream_options.include_usage`, whose `choices` are empty."""
    refusal: str = ""
    """The text in which the model refuses to answer."""


class _Choice(msgspec.Struct, gc=False):
    delta: Any = None
    finish_reason: Any = None
    text: Any = None
    """The text of a server that answers as OpenAI's older `POST /completions`."""


class _Body(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Body).decode


def parse_chunk(data: bytes) -> Chunk:
    """Read one event's data. What the service does not need may have any shape.

    Raises:
        NoChunk: It is not a completion chunk.
        ReportedFailure: It is an error object.
    """
    try:
        body = _decode(data)
        if not data.isascii():
            # The decoder skips the fields that it does not need without looking for bytes that are no UTF-8.
            data.decode()
    except (ValueError, RecursionError) as error:
        data, body = _repair(data, error)
    if body.error:
        raise ReportedFailure
    if b"\n" in data:
        # Outside of strings a line feed is white space, and inside of them JSON allows none.
        data = data.replace(b"\n", b" ")
    usage = body.usage if isinstance(body.usage, dict) else None
    if not body.choices:
        return Chunk(data, usage=usage, is_usage_only=bool(usage))
    choice = body.choices[0]
    delta = choice.delta if isinstance(choice.delta, dict) else {"content": choice.text}
    content = delta.get("content")
    if not isinstance(content, str):
        content = _joined(content)
    refusal = delta.get("refusal")
    return Chunk(
        data,
        content,
        bool(content) or _has_content(delta),
        _finish_reason(choice.finish_reason) if choice.finish_reason is not None else None,
        usage,
        False,  # noqa: FBT003 - a keyword costs time with every token
        refusal if isinstance(refusal, str) else "",
    )


def _joined(content: Any) -> str:
    """Join the text of a delta that comes in parts, as Mistral's reasoning models send it."""
    parts = content if isinstance(content, list) else ()
    return "".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _has_content(delta: dict[str, Any]) -> bool:
    for name, value in delta.items():  # noqa: SIM110 - any() costs a generator with every token of reasoning
        if value and name not in _BESIDE_CONTENT:
            return True
    return False


def _finish_reason(reason: Any) -> str | None:
    """Return the reason in a bounded length; None if the field holds no reason."""
    if not isinstance(reason, str) or is_unset(reason):
        return None
    return reason[:MAX_FINISH_REASON_CHARS].encode("utf-8", "replace").decode()


def _repair(data: bytes, error: Exception) -> tuple[bytes, _Body]:
    """Read what is JSON to the standard library alone, and turn it into JSON for every client.

    A surrogate pair split over two chunks is valid, and stays as it is. Bytes that are no UTF-8 are replaced,
    as the standard of event streams says. NaN and the infinities become null.
    """
    text = data.decode("utf-8", "replace")
    constants: list[str] = []
    try:
        parsed = json.loads(text, parse_constant=constants.append, parse_int=_bounded_int)
        body = msgspec.convert(parsed, _Body)
    except (ValueError, RecursionError):
        raise NoChunk from error
    if constants:
        text = _STRING_OR_CONSTANT.sub(lambda match: match[0] if match[0][0] == '"' else "null", text)
    return text.encode(), body


def _bounded_int(digits: str) -> int | None:
    """Leave out a number that no field of a chunk has use for: Python takes quadratic time to read it."""
    return int(digits) if len(digits) <= _MAX_DIGITS else None
