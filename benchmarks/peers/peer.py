"""The interface of a peer, which relays a stream of tokens from a backend to its clients."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from benchmarks.answers import MODEL
from benchmarks.load import Address
from benchmarks.question import Question
from benchmarks.stage import Stage

Request = Callable[[Question], bytes]
"""Makes a request with a question, from a user with no earlier question."""


@dataclass(frozen=True, slots=True)
class Server:
    """A started peer."""

    address: Address
    request: Request
    pid: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer that can be started."""

    name: str
    title: str
    start: Callable[[Stage], AbstractAsyncContextManager[Server]]


def post(path: str, body: dict[str, Any], **headers: str) -> bytes:
    """Make a request with a JSON body."""
    content = json.dumps(body).encode()
    lines = {
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Accept": "text/event-stream",
        "Content-Length": str(len(content)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content


def completion_request(question: Question, **headers: str) -> bytes:
    """Make the request that the service sends to its backend, for peers with OpenAI's interface."""
    body = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": question.text},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return post("/v1/chat/completions", body, **headers)
