"""What a broken or hostile backend sends: random bytes, shapes and sizes, and streams with damage."""

import asyncio
import gzip
import json
import random
from pathlib import Path
from typing import Any

from tests.support.backend import Exchange, Script
from tests.support.chunks import DONE, chunk, event, usage_chunk

_STREAMS = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "live/streams").glob("*.sse"))]
_BOMB = gzip.compress(bytes(10_000_000))
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
_FLOODS = [
    b"data: {}\n\n",
    b": x\n",
    b"\n",
    b"data:\n",
    b"data: [\n",
    b"x" * 4096,
    event(chunk("")),
    event(chunk("x" * 500_000)),
    event(chunk("a", finish_reason="stop")),
    event(usage_chunk()),
    b"event: ping\ndata: 1\n\n",
]
_TOKENS = [
    b"\n",
    b"\r",
    b"\n\n",
    b"data: ",
    b"event: error\n",
    b"NaN",
    b"-Infinity",
    b"\xf0\x9f",
    b"\x00",
    b"\\ud83d",
    b'"',
    b"{",
    b"]",
    b"null",
    b"9" * 400,
    b"1e999",
    b'"finish_reason":"',
    b'"error":{"message":"boom"}',
    b'"stop"',
    DONE,
]


def answer_by(chance: random.Random) -> tuple[str, Script]:
    """Choose a kind of answer; return its name with it."""
    kind = chance.choice([_damaged_stream, _random_json, _random_bytes, _flood, _odd_http, _refusal])
    return kind.__name__.strip("_"), kind(chance)


def _damaged_stream(chance: random.Random) -> Script:
    stream = bytearray(chance.choice(_STREAMS))
    for _ in range(chance.randint(0, 6)):
        at = chance.randrange(len(stream) + 1)
        match chance.randrange(5):
            case 0:
                stream[at:at] = chance.choice(_TOKENS)
            case 1:
                del stream[at : at + chance.randint(1, 60)]
            case 2:
                stream[at : at + 1] = chance.randbytes(1)
            case 3:
                stream[at:at] = stream[at : at + chance.randint(1, 400)]
            case _:
                stream[at:at] = chance.choice(_STREAMS)
    return _sends(chance, bytes(stream))


def _random_json(chance: random.Random) -> Script:
    events = [_event_of_any_shape(chance) for _ in range(chance.randint(0, 20))]
    return _sends(chance, b"".join(events) + chance.choice([b"", DONE, event(chunk(finish_reason="stop"))]))


def _event_of_any_shape(chance: random.Random) -> bytes:
    delta = {name: _json(chance) for name in ("role", "content", "refusal", "tool_calls", "reasoning")}
    choice = {"delta": chance.choice([delta, _json(chance)]), "finish_reason": _json(chance)}
    body = {
        "choices": chance.choice([[choice], [choice, choice], _json(chance)]),
        "usage": chance.choice([_json(chance), {"prompt_tokens": _json(chance), "x": _json(chance)}]),
        "error": chance.choice([None, None, None, _json(chance)]),
    }
    kept = {name: value for name, value in body.items() if chance.random() < 0.8}
    return b"data: " + json.dumps(kept).encode() + b"\n\n"


def _json(chance: random.Random, depth: int = 0) -> Any:
    leaves: list[Any] = [
        None,
        True,
        False,
        0,
        -1,
        7,
        2**64,
        10**400,
        0.5,
        float("nan"),
        float("-inf"),
        "",
        "stop",
    ]
    leaves += ["text", "null", "\ud83d", "\u2028", "x" * 5000, "abort", "weird"]
    if depth > 3 or chance.random() < 0.6:
        return chance.choice(leaves)
    if chance.random() < 0.1:
        deep: Any = 1
        for _ in range(chance.choice([100, 400, 900])):
            deep = [deep] if chance.random() < 0.5 else {"a": deep}
        return deep
    items = [_json(chance, depth + 1) for _ in range(chance.randint(0, 4))]
    return items if chance.random() < 0.5 else {f"k{n}": item for n, item in enumerate(items)}


def _random_bytes(chance: random.Random) -> Script:
    body = chance.randbytes(chance.choice([0, 1, 100, 10_000, 300_000]))
    if chance.random() < 0.5:
        return _writes(chance, body)
    return _sends(chance, body)


def _flood(chance: random.Random) -> Script:
    part = chance.choice(_FLOODS)
    begun = chance.choice([b"", event(chunk("Hel")), event(chunk("a", finish_reason="stop"))])

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(begun)
        many = part * (1 + 64 * 1024 // len(part))
        while not exchange.hung_up.is_set():
            await exchange.send(many)
            await asyncio.sleep(0)

    return script


def _odd_http(chance: random.Random) -> Script:
    return chance.choice(
        [
            _writes(chance, b"HTTP/1.1 100 Continue\r\n\r\n" * 5000 + _HEAD + b"\r\n" + _STREAMS[0]),
            _writes(chance, _HEAD + b"Content-Encoding: gzip\r\n\r\n" + _BOMB),
            _writes(chance, b"HTTP/1.1 400 Bad\r\nContent-Encoding: gzip\r\n\r\n" + _BOMB),
            _writes(chance, _HEAD + b"X: " + b"x" * 100_000 + b"\r\n\r\n" + _STREAMS[0]),
            _writes(chance, _HEAD + b"Content-Length: 99999\r\n\r\n" + _STREAMS[0]),
            _writes(chance, _HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n" + _STREAMS[0]),
            _writes(chance, _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
            _writes(chance, b"HTTP/1.1 204 None\r\nConnection: close\r\n\r\n"),
            _writes(
                chance,
                b"HTTP/1.1 301 Away\r\nConnection: close\r\nLocation: http://127.0.0.1:1/\r\n\r\n",
            ),
            _writes(chance, b"SSH-2.0-OpenSSH_9\r\n"),
        ]
    )


def _refusal(chance: random.Random) -> Script:
    status = chance.choice([400, 401, 403, 404, 413, 422, 429, 500, 502, 503, 504, 418, 299, 600])
    body = chance.choice(
        [
            json.dumps(_json(chance)).encode(),
            json.dumps({"error": _json(chance)}).encode(),
            json.dumps([{"error": {"message": "x" * 40_000, "code": _json(chance)}}]).encode(),
            json.dumps({"detail": "/".join("a" * 30_000)}).encode(),
            b"<html>" * 1000,
            chance.randbytes(1000),
        ]
    )
    return _writes(chance, b"HTTP/1.1 %d X\r\nConnection: close\r\n\r\n" % status + body)


def _sends(chance: random.Random, body: bytes) -> Script:
    return _writes(chance, _HEAD + b"Connection: close\r\n\r\n" + body)


def _writes(chance: random.Random, data: bytes) -> Script:
    """These bytes in random pieces, and then a clean end, a reset or silence."""
    longest = chance.choice([1 + len(data) // 50, 4096, len(data) + 1])
    sizes = [chance.randint(1, longest) for _ in range(100)]
    ending = chance.choice(["close", "close", "close", "reset", "hang"])

    async def script(exchange: Exchange) -> None:
        start = 0
        for size in sizes:
            await exchange.send(data[start : start + size])
            await asyncio.sleep(0)
            start += size
        await exchange.send(data[start:])
        if ending == "reset":
            exchange.reset()
        elif ending == "hang":
            await exchange.hung_up.wait()

    return script
