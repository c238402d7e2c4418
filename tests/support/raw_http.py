"""Requests as they stand on the wire, for tests that send them in their own way."""

import json
from typing import Any


def chat_request(*headers: str, **body: Any) -> bytes:
    """A whole `POST /chat`, with these headers besides those that it needs."""
    encoded = json.dumps(body).encode()
    lines = (
        "POST /chat HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(encoded)}",
        *headers,
    )
    return "\r\n".join([*lines, "", ""]).encode() + encoded
