"""Items of responses as a backend gets them: messages in the shape of chat completions."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from app.prompts.transcript import without_thinking
from app.responses.ids import place_of_item
from app.responses.record import Item

ChatMessage = dict[str, Any]

_ROLES = {"developer": "system"}
"""Roles that most chat templates do not know, and what they are to them."""


def chat_messages(items: Iterable[Item]) -> list[ChatMessage]:
    """Return the messages that items stand for. What a model has thought is left out."""
    messages: list[ChatMessage] = []
    for item in items:
        match item["type"]:
            case "message" if item["role"] == "assistant":
                messages.append({"role": "assistant", "content": _answer_of(item)})
            case "message":
                role = _ROLES.get(item["role"], item["role"])
                messages.append({"role": role, "content": _content(item["content"])})
            case "function_call":
                _add_call(messages, item)
            case "function_call_output":
                output = item["output"]
                content = output if isinstance(output, str) else _content(output)
                messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
    return messages


def turn_messages(input_items: Iterable[Item], output_items: Iterable[Item]) -> list[ChatMessage]:
    """Return the messages of an earlier response: its whole output is one message of the assistant."""
    answered = chat_messages(output_items)
    texts = [text for message in answered if (text := without_thinking(message["content"] or ""))]
    calls = [call for message in answered for call in message.get("tool_calls", ())]
    messages = chat_messages(input_items)
    if texts or calls:
        answer: ChatMessage = {"role": "assistant", "content": "\n\n".join(texts) or None}
        messages.append({**answer, "tool_calls": calls} if calls else answer)
    return messages


def turns_of(items: Iterable[Item]) -> list[list[ChatMessage]]:
    """Return the messages of a conversation's items, a list for each turn."""
    turns: list[list[ChatMessage]] = []
    for _, group in groupby(items, key=lambda item: _turn_of(item["id"])):
        asked: list[Item] = []
        answered: list[Item] = []
        for item in group:
            place = place_of_item(item["id"])
            (answered if place is not None and not place.is_input else asked).append(item)
        if turn := turn_messages(asked, answered):
            turns.append(turn)
    return turns


def _turn_of(item_id: str) -> str:
    place = place_of_item(item_id)
    return item_id if place is None else place.turn_id


def _add_call(messages: list[ChatMessage], item: Item) -> None:
    """Add a call to the message of the assistant that it follows: calls of one turn stand in one message."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    function = {"name": item["name"], "arguments": item["arguments"]}
    call = {"id": item["call_id"], "type": "function", "function": function}
    messages[-1].setdefault("tool_calls", []).append(call)


def _answer_of(item: Item) -> str:
    return "\n\n".join(part.get("text") or part.get("refusal") or "" for part in item["content"])


def _content(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return a single text as a string, as the strictest chat templates want it; anything else as parts."""
    if len(parts) == 1 and parts[0]["type"] == "input_text":
        text: str = parts[0]["text"]
        return text
    return [_PARTS[part["type"]](part) for part in parts]


def _text(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": part["text"]}


def _image(part: dict[str, Any]) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part["detail"]}}


def _file(part: dict[str, Any]) -> dict[str, Any]:
    names = ("file_data", "filename")
    return {"type": "file", "file": {name: part[name] for name in names if part.get(name) is not None}}


_PARTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "input_text": _text,
    "input_image": _image,
    "input_file": _file,
}
