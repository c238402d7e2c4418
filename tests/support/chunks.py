"""Completion chunks as an OpenAI-compatible backend writes them."""

import json
from typing import Any

DONE = b"data: [DONE]\n\n"


def chunk(content: str | None = None, *, finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    """Make a chunk with a text delta."""
    delta = {} if content is None else {"content": content}
    return {
        "id": "chatcmpl-test",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "test-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        **fields,
    }


def usage_chunk(prompt_tokens: int = 5, completion_tokens: int = 2) -> dict[str, Any]:
    """Make the extra chunk that `stream_options.include_usage` requests."""
    total = prompt_tokens + completion_tokens
    usage = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}
    return chunk(choices=[], usage=usage)


def event(body: dict[str, Any]) -> bytes:
    """Encode a chunk as one Server-Sent Event."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def answer(*words: str) -> list[bytes]:
    """Make a complete answer: a role, the words, a finish, usage, and the end."""
    role = chunk("")
    role["choices"][0]["delta"]["role"] = "assistant"
    return [
        event(role),
        *(event(chunk(word)) for word in words),
        event(chunk(finish_reason="stop")),
        event(usage_chunk()),
        DONE,
    ]
