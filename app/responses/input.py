"""Reads the items that clients send: as input of a response, or for a conversation."""

from collections.abc import Iterable
from typing import Any

from app.errors import ValidationFailed
from app.responses.errors import UnsupportedValue
from app.responses.ids import input_item_id, output_item_id
from app.responses.record import Item

# Not sets: a client may send anything in place of a name, also what has no hash.
_ROLES = ("user", "assistant", "system", "developer")
_PHASES = ("commentary", "final_answer")
_DETAILS = ("low", "high", "auto", "original")
_TEXTS = ("input_text", "output_text", "text")


def read_items(given: object, param: str) -> list[Item]:
    """Return the items in one shape, without ids: whatever may be left out is filled in.

    Args:
        given: A text, or a list of items.
        param: The request's field that has them.

    Raises:
        ValidationFailed: It is neither.
        UnsupportedValue: An item is of a kind that only hosted tools have.
    """
    if isinstance(given, str):
        return [_message({"role": "user", "content": given}, param)]
    if not isinstance(given, list):
        raise ValidationFailed(f"{param}: expected a string or a list of items", param=param)
    return [_item(item, param) for item in given]


def question_and_answer(turn_id: str, question: str, answer: str) -> list[Item]:
    """Return the items that stand for the messages of a turn of `/chat`."""
    asked = _message({"role": "user", "content": question}, "")
    answered = _message({"role": "assistant", "content": answer}, "")
    return [
        {"id": input_item_id("message", turn_id, 0), **asked},
        {"id": output_item_id("message", turn_id, 0), **answered},
    ]


def text_of(items: Iterable[Item], role: str) -> str:
    """Return what the messages of this role say."""
    said = [
        part.get("text") or part.get("refusal") or ""
        for item in items
        if item["type"] == "message" and item["role"] == role
        for part in item["content"]
    ]
    return "\n\n".join(filter(None, said))


def _item(item: object, param: str) -> Item:
    if not isinstance(item, dict):
        raise ValidationFailed(f"{param}: expected a list of objects", param=param)
    match item.get("type", "message" if "role" in item else None):
        case "message":
            return _message(item, param)
        case "function_call":
            names = ("call_id", "name", "arguments")
            fields = {name: _string(item, name, param) for name in names}
            return {"type": "function_call", "status": "completed", **fields}
        case "function_call_output":
            return _call_output(item, param)
        case "reasoning":
            return _reasoning(item, param)
        case str(kind):
            raise UnsupportedValue(f"{param}: items of type {kind[:50]!r} are not supported", param=param)
        case _:
            raise ValidationFailed(f"{param}: expected items with a type", param=param)


def _message(item: Item, param: str) -> Item:
    role, content = item.get("role"), item.get("content")
    if role not in _ROLES:
        raise ValidationFailed(
            f"{param}: expected the role user, assistant, system or developer", param=param
        )
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}]
    if not isinstance(content, list):
        raise ValidationFailed(f"{param}: expected a message with content", param=param)
    read = _answer_part if role == "assistant" else _part
    parts = [read(part, param) for part in content]
    phase = item.get("phase") if role == "assistant" else None
    extra = {"phase": phase} if phase in _PHASES else {}
    return {"type": "message", "role": role, "status": "completed", "content": parts, **extra}


def _call_output(item: Item, param: str) -> Item:
    output = item.get("output")
    if isinstance(output, list):
        output = [_part(part, param) for part in output]
    elif not isinstance(output, str):
        raise ValidationFailed(f"{param}: expected a function_call_output with an output", param=param)
    call_id = _string(item, "call_id", param)
    return {"type": "function_call_output", "status": "completed", "call_id": call_id, "output": output}


def _reasoning(item: Item, param: str) -> Item:
    texts: dict[str, Any] = {}
    for field, kind in (("summary", "summary_text"), ("content", "reasoning_text")):
        parts = item.get(field)
        texts[field] = [
            {"type": kind, "text": _string(part, "text", param)}
            for part in (parts if isinstance(parts, list) else ())
            if isinstance(part, dict)
        ]
    encrypted = item.get("encrypted_content")
    extra = {"encrypted_content": encrypted} if isinstance(encrypted, str) else {}
    return {"type": "reasoning", "status": "completed", **texts, **extra}


def _part(part: Any, param: str) -> dict[str, Any]:
    match part:
        case {"type": kind} if kind in _TEXTS:
            return {"type": "input_text", "text": _string(part, "text", param)}
        case {"type": "input_image", "image_url": str(url)}:
            detail = part.get("detail")
            detail = detail if detail in _DETAILS else "auto"
            return {"type": "input_image", "detail": detail, "image_url": url, "file_id": None}
        case {"type": "input_file", "file_data": str(data)}:
            name = part.get("filename")
            name = name if isinstance(name, str) else None
            return {"type": "input_file", "file_data": data, "filename": name}
        case {"type": "input_image" | "input_file"}:
            raise UnsupportedValue(f"{param}: expected images by URL, and files by their data", param=param)
        case {"type": str(kind)}:
            raise UnsupportedValue(f"{param}: content of type {kind[:50]!r} is not supported", param=param)
        case _:
            raise ValidationFailed(f"{param}: expected parts of content with a type", param=param)


def _answer_part(part: Any, param: str) -> dict[str, Any]:
    match part:
        case {"type": kind} if kind in _TEXTS:
            text = _string(part, "text", param)
            return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        case {"type": "refusal"}:
            return {"type": "refusal", "refusal": _string(part, "refusal", param)}
        case _:
            raise ValidationFailed(f"{param}: expected output_text or refusal of the assistant", param=param)


def _string(fields: Any, name: str, param: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValidationFailed(f"{param}: expected {name} to be a string", param=param)
    return value
