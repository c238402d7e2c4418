"""The last chunk of an answer that its user has stopped: clients expect a finish_reason before [DONE]."""

import time
from contextlib import suppress
from typing import Any

import msgspec

from app.models import TurnRecord


class _ChunkHead(msgspec.Struct):
    id: Any = None
    model: Any = None
    created: Any = None


def stop_chunk(before: bytes, record: TurnRecord) -> bytes:
    """Build the chunk with `finish_reason: "stop"`; id and model are those of the chunk before."""
    head = _ChunkHead()
    with suppress(ValueError, RecursionError):
        head = msgspec.json.decode(before, type=_ChunkHead)
    return msgspec.json.encode(
        {
            "id": head.id or f"chatcmpl-{record.turn_id}",
            "object": "chat.completion.chunk",
            "created": head.created or int(time.time()),
            "model": head.model or record.model,
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        }
    )
