"""Chunks of backends, and requests, for tests of the projection."""

import json
from typing import Any

from app.models import ResponseRequest
from app.responses.record import ResponseRecord

TURN = "0123456789abcdef" * 2
ECHO: dict[str, Any] = {
    "background": False,
    "store": True,
    "previous_response_id": None,
    "model": "test-model",
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}


def record(*, has_logprobs: bool = False, **echo: Any) -> ResponseRecord:
    """Make the record of a response whose request has these fields."""
    request = ResponseRequest(echo={**ECHO, **echo}, input=[], has_logprobs=has_logprobs)
    return ResponseRecord(turn_id=TURN, created_at=1_700_000_000, request=request)


def delta(finish_reason: str | None = None, **fields: Any) -> bytes:
    """Make a chunk whose delta has these fields."""
    choice = {"index": 0, "delta": fields, "finish_reason": finish_reason}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}).encode()


def call(index: int | None = None, call_id: str | None = None, **function: Any) -> bytes:
    """Make a chunk with a part of a function call."""
    part = {"index": index, "id": call_id, "function": function}
    return delta(tool_calls=[{name: value for name, value in part.items() if value is not None}])


def usage(**counts: Any) -> bytes:
    """Make the chunk that carries only usage."""
    return json.dumps({"id": "c", "choices": [], "usage": counts}).encode()
