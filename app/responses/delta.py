"""What one of a backend's chunks adds to a response."""

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from app.responses.surrogates import well_formed

_REASONING = ("reasoning_content", "reasoning")
"""The names that backends have for what a model thinks; some send both, with the same text."""


class CallDelta(NamedTuple):
    """A part of a function call."""

    number: int | None
    call_id: str
    name: str
    arguments: str


class Delta(NamedTuple):
    """What a chunk adds, in the order in which a model makes it."""

    reasoning: str = ""
    text: str = ""
    refusal: str = ""
    calls: tuple[CallDelta, ...] = ()
    logprobs: tuple[dict[str, Any], ...] = ()
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None


def read_delta(data: bytes) -> Delta:
    """Read a chunk that the service has relayed. What a response has no field for is left out."""
    chunk = _decode(data)
    usage = chunk.get("usage")
    usage = usage if isinstance(usage, dict) else None
    choices = chunk.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        return Delta(usage=usage)
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        delta = {"content": choice.get("text")}
    content = delta.get("content")
    reasoning = next((text for name in _REASONING if (text := _text(delta.get(name)))), "")
    finish_reason = choice.get("finish_reason")
    return Delta(
        reasoning or _joined(content, "thinking"),
        _text(content) or _joined(content, "text"),
        _text(delta.get("refusal")),
        tuple(_calls(delta)),
        tuple(_logprobs(choice.get("logprobs"))),
        finish_reason if isinstance(finish_reason, str) else None,
        usage,
    )


def _decode(data: bytes) -> dict[str, Any]:
    """Read a chunk; one that cannot be read adds nothing: an error would reach the running turn."""
    chunk: Any = None
    try:
        chunk = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        with suppress(ValueError, RecursionError):
            chunk = json.loads(data)  # half a surrogate pair
    return chunk if isinstance(chunk, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _joined(content: object, kind: str) -> str:
    """Join what comes in parts, as Mistral's reasoning models send it."""
    parts = content if isinstance(content, list) else ()
    found = [part[kind] for part in parts if isinstance(part, dict) and kind in part]
    return "".join(_text(each) or _joined(each, "text") for each in found)


def _calls(delta: dict[str, Any]) -> Iterable[CallDelta]:
    calls = delta.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            function = call.get("function")
            yield _call(call.get("index"), call.get("id"), function if isinstance(function, dict) else {})
    if isinstance(function := delta.get("function_call"), dict):  # before there were tools
        yield _call(0, None, function)


def _call(index: object, call_id: object, function: dict[str, Any]) -> CallDelta:
    arguments = function.get("arguments")
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, separators=(",", ":"))
    return CallDelta(
        index if isinstance(index, int) and not isinstance(index, bool) else None,
        well_formed(_text(call_id)),
        well_formed(_text(function.get("name"))),
        _text(arguments),
    )


def _logprobs(logprobs: object) -> Iterable[dict[str, Any]]:
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    for token in tokens if isinstance(tokens, list) else ():
        if (read := _token(token)) is not None:
            top = token.get("top_logprobs")
            likely = [_token(each) for each in (top if isinstance(top, list) else ())]
            yield {**read, "top_logprobs": [each for each in likely if each is not None]}


def _token(token: object) -> dict[str, Any] | None:
    if not isinstance(token, dict):
        return None
    logprob, data = token.get("logprob"), token.get("bytes")
    if not isinstance(logprob, int | float) or isinstance(logprob, bool):
        return None
    is_bytes = isinstance(data, list) and all(type(each) is int and 0 <= each <= 255 for each in data)  # noqa: PLR2004 - a byte
    return {
        "token": well_formed(_text(token.get("token"))),
        "bytes": data if is_bytes else [],
        "logprob": logprob,
    }
