"""Answers of the fake backend: ready bytes, as an OpenAI-compatible server writes them."""

import json
from functools import cache

MODEL = "benchmark-model"

_ID = "chatcmpl-5d1e1f0a9c3b4f6e8a7d2c4b6e8f0a1c"
_CREATED = 1795365201
_FINGERPRINT = "fp_9b7441b27b"
_WORDS = (
    *(" the", " of", " streaming", " answer", " and", " token", " a", " in", " that", " service", " is"),
    *(" to", " every", " reader", " one", " which", " kept", " its", " order", " it", " comes", " out"),
    *(" again", " as", " soon", " has", " arrived", " nothing", " more", " lost", ",", "."),
)

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def _event(data: bytes) -> bytes:
    """Encode one event as one chunk of HTTP's transfer coding."""
    event = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(event), event)


def _completion_chunk(delta: dict[str, str], finish_reason: str | None = None) -> bytes:
    return _event(
        json.dumps(
            {
                "id": _ID,
                "object": "chat.completion.chunk",
                "created": _CREATED,
                "model": MODEL,
                "system_fingerprint": _FINGERPRINT,
                "choices": [
                    {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason},
                ],
            },
            separators=(",", ":"),
        ).encode()
    )


ROLE = _completion_chunk({"role": "assistant", "content": ""})

_TOKENS = tuple(_completion_chunk({"content": word}) for word in _WORDS)


def token(n: int) -> bytes:
    """Return the n-th token. The text does not matter, but it varies."""
    return _TOKENS[n * 7 % len(_TOKENS)]


def stamped_token(nanoseconds: int) -> bytes:
    """Return a token that carries the time when it was sent."""
    return _completion_chunk({"content": f"{nanoseconds:020}"})


@cache
def ending(tokens: int) -> bytes:
    """Return the events after the last token: the finish reason, the usage, `[DONE]`."""
    usage = {
        "id": _ID,
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": MODEL,
        "choices": [],
        "usage": {"prompt_tokens": 24, "completion_tokens": tokens, "total_tokens": 24 + tokens},
    }
    return b"".join(
        (
            _completion_chunk({}, "stop"),
            _event(json.dumps(usage, separators=(",", ":")).encode()),
            _event(b"[DONE]"),
            b"0\r\n\r\n",
        )
    )


def models() -> bytes:
    """Return the answer to `GET /v1/models`, with a context window for a long history."""
    body = json.dumps(
        {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 131072}]}
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
