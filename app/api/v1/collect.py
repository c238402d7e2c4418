"""Puts the chunks of a streamed completion together to one completion."""

from collections.abc import Iterable
from typing import Any

import msgspec

_CONCATENATED = ("content", "refusal", "reasoning_content", "reasoning")
"""The fields of a delta whose text goes on in the next chunk."""


def collect(chunks: Iterable[bytes]) -> dict[str, Any]:
    """Return the chat completion that these chunks stream, in OpenAI's shape.

    Fields that OpenAI does not have, such as a provider's citations, keep their last value.
    """
    completion: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for data in chunks:
        chunk = msgspec.json.decode(data)
        if chunk.get("object") == "chat.completion":  # it was not streamed
            return dict(chunk)
        for name, value in chunk.items():
            if name == "choices":
                for choice in value or ():
                    _add_choice(choices, choice)
            elif value is not None or name not in completion:
                completion[name] = value
    completion["object"] = "chat.completion"
    completion["choices"] = [choices[index] for index in sorted(choices)]
    return completion


def _add_choice(choices: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    index = choice.get("index") or 0
    collected = choices.setdefault(
        index,
        {
            "index": index,
            "message": {"role": "assistant", "content": None, "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": None,
        },
    )
    _add_delta(collected["message"], choice.get("delta") or {})
    if logprobs := choice.get("logprobs"):
        collected["logprobs"] = collected["logprobs"] or {}
        for name, tokens in logprobs.items():
            if isinstance(tokens, list):
                collected["logprobs"][name] = (collected["logprobs"].get(name) or []) + tokens
            else:
                collected["logprobs"].setdefault(name, tokens)
    for name, value in choice.items():
        if name not in {"index", "delta", "logprobs"} and (value is not None or name not in collected):
            collected[name] = value


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if value is None or name == "role":
            continue
        if name in _CONCATENATED and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        elif name == "tool_calls" and isinstance(value, list):
            calls = message.setdefault("tool_calls", [])
            for call in value:
                _add_call(calls, call)
        elif name == "function_call" and isinstance(value, dict):
            _add_texts(message.setdefault("function_call", {"name": "", "arguments": ""}), value)
        elif isinstance(value, list) and isinstance(message.get(name), list):
            message[name] = message[name] + value
        else:
            message[name] = value


def _add_call(calls: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """Add a part of a tool call: to the call with its index or, if it has none, its id."""
    index = part.get("index")
    if not isinstance(index, int):
        known = [number for number, call in enumerate(calls) if call.get("id") == part.get("id")]
        index = known[0] if known else len(calls)
    while len(calls) <= min(index, len(calls)):
        calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
    call = calls[min(index, len(calls) - 1)]
    for name, value in part.items():
        if name == "function" and isinstance(value, dict):
            _add_texts(call["function"], value)
        elif name != "index" and value is not None:
            call[name] = value


def _add_texts(function: dict[str, Any], part: dict[str, Any]) -> None:
    """Add the name, which comes whole, and a part of the arguments."""
    for name, value in part.items():
        if name == "arguments" and isinstance(value, str):
            function["arguments"] += value
        elif value is not None:
            function[name] = value
