"""Requests in wire format, for tests that send them themselves."""

import json
from typing import Any


def chat_request(*headers: str, **body: Any) -> bytes:
    """Encode a `POST /chat` with additional headers."""
    encoded = json.dumps(body).encode()
    lines = (
        "POST /chat HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(encoded)}",
        *headers,
    )
    return "\r\n".join([*lines, "", ""]).encode() + encoded
