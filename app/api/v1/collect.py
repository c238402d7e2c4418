"""Puts the chunks of a streamed completion together to one completion."""

import json
import math
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from app.errors import UpstreamError

_CONCATENATED = frozenset({"content", "refusal", "reasoning_content", "reasoning"})
"""The fields of a delta whose text goes on in the next chunk."""
_OF_STREAMS = frozenset({"choices", "object", "obfuscation"})
"""Fields of a chunk that a completion does not take over."""
_OF_CHOICES = frozenset({"index", "delta", "text", "logprobs"})
"""Fields of a choice that are not simply taken over."""
_MAX_DIGITS = 20

_Object = dict[str, Any]


def collect(events: Sequence[bytes], *, turn_id: str, model: str) -> bytes:
    """Return the chat completion that these chunks stream, in OpenAI's shape.

    Fields that OpenAI does not have, such as a provider's citations, keep their last value. What was not
    streamed stays as it is.

    Args:
        events: The chunks.
        turn_id: The turn, after which the completion is called if the chunks have no id.
        model: The model, if the chunks do not name it.

    Raises:
        UpstreamError: The backend's chunks cannot be put together.
    """
    completion: _Object = {"id": f"chatcmpl-{turn_id}", "created": int(time.time()), "model": model}
    choices: dict[int, _Object] = {}
    for data in events:
        chunk = _decode(data)
        if len(events) == 1 and _is_whole(chunk):
            return data
        for name, value in chunk.items():
            if name not in _OF_STREAMS and (value is not None or name not in completion):
                completion[name] = value
        for choice in _objects(chunk.get("choices")):
            _add_choice(choices, choice)
    completion["object"] = "chat.completion"
    completion["choices"] = [choices[index] for index in sorted(choices)]
    for choice in completion["choices"]:
        for call in choice["message"].get("tool_calls", ()):
            call.pop("index", None)
    try:
        return msgspec.json.encode(completion)
    except UnicodeEncodeError:  # the backend has sent half a surrogate pair, or the halves in two chunks
        return json.dumps(completion).encode()


def _decode(data: bytes) -> _Object:
    try:
        return dict(msgspec.json.decode(data))
    except ValueError:
        pass  # half a surrogate pair, or a number that is too large, is JSON to the standard library alone
    except RecursionError:
        raise UpstreamError("The model's backend sent something that is no completion chunk.") from None
    return dict(json.loads(data, parse_int=_bounded_int, parse_float=_finite))


def _bounded_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None


def _finite(digits: str) -> float | None:
    return None if math.isinf(value := float(digits)) else value


def _is_whole(chunk: _Object) -> bool:
    return chunk.get("object") == "chat.completion" or any(
        "message" in choice for choice in _objects(chunk.get("choices"))
    )


def _add_choice(choices: dict[int, _Object], choice: _Object) -> None:
    index = choice.get("index")
    index = index if isinstance(index, int) else 0
    collected = choices.setdefault(
        index,
        {
            "index": index,
            "message": {"role": "assistant", "content": None, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": None,
        },
    )
    delta = choice.get("delta")
    # A server may answer as OpenAI's older completions do, with the text outside of a delta.
    _add_delta(collected["message"], delta if isinstance(delta, dict) else {"content": choice.get("text")})
    if isinstance(logprobs := choice.get("logprobs"), dict):
        collected["logprobs"] = _with_logprobs(collected["logprobs"] or {}, logprobs)
    for name, value in choice.items():
        if name not in _OF_CHOICES and (value is not None or name not in collected):
            collected[name] = value


def _with_logprobs(collected: _Object, logprobs: _Object) -> _Object:
    for name, tokens in logprobs.items():
        if isinstance(tokens, list):
            before = collected.get(name)
            collected[name] = [*before, *tokens] if isinstance(before, list) else tokens
        else:
            collected.setdefault(name, tokens)
    return collected


def _add_delta(message: _Object, delta: _Object) -> None:
    for name, value in delta.items():
        if value is None or name == "role":
            continue
        before = message.get(name)
        if name == "tool_calls":
            _add_calls(message, _objects(value))
        elif name == "function_call" and isinstance(value, dict):
            message[name] = _with_function(before, value)
        elif name in _CONCATENATED:
            if isinstance(value, str):
                message[name] = (before or "") + value
            elif name == "content":
                _add_parts(message, _objects(value))
        elif isinstance(value, list) and isinstance(before, list):
            message[name] = before + value
        else:
            message[name] = value


def _add_parts(message: _Object, parts: list[_Object]) -> None:
    """Add parts of content, as Mistral's reasoning models send them: OpenAI's content is one text."""
    for part in parts:
        if isinstance(text := part.get("text"), str):
            message["content"] = (message["content"] or "") + text
        for thought in _objects(part.get("thinking")):
            if isinstance(text := thought.get("text"), str):
                message["reasoning_content"] = message.get("reasoning_content", "") + text


def _add_calls(message: _Object, parts: list[_Object]) -> None:
    calls: list[_Object] = message.setdefault("tool_calls", [])
    for part in parts:
        call = _call_of(part, calls)
        if call is None:
            call = {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            calls.append(call)
        for name, value in part.items():
            if name == "function" and isinstance(value, dict):
                call[name] = _with_function(call.get(name), value)
            elif value is not None:
                call[name] = value


def _call_of(part: _Object, calls: list[_Object]) -> _Object | None:
    """Find the tool call that goes on in this part; None: a new one begins.

    Some backends send no index, and some give all calls of an answer the same one.
    """
    index, own_id = part.get("index"), part.get("id")
    same = [call for call in calls if index is None or call.get("index") == index]
    if not own_id:
        return same[-1] if same else None
    known = [call for call in same if call["id"] == own_id]
    if known or index is None:
        return known[-1] if known else None
    function = part.get("function")
    begins = isinstance(function, dict) and function.get("name")
    return None if begins or not same else same[-1]


def _with_function(before: Any, part: _Object) -> _Object:
    """Add the name, which comes whole, and a part of the arguments."""
    function = {"name": "", "arguments": "", **(before if isinstance(before, dict) else {})}
    for name, value in part.items():
        if name == "arguments" and isinstance(value, str) and isinstance(function[name], str):
            function[name] += value
        elif value is not None:
            function[name] = value
    return function


def _objects(value: Any) -> list[_Object]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
