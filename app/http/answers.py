"""Answers that no application gives, and bodies that HTTP/1.0 can read."""

import uuid
from typing import Any

from app.api.errors import STATUS, error_json
from app.api.headers import SECURITY_HEADERS
from app.errors import ServiceError

_PHRASES = {400: "Bad Request", 408: "Request Timeout"}


def refusal_bytes(refusal: ServiceError) -> bytes:
    """Encode the answer to what is no request; after it the connection ends."""
    status = STATUS[type(refusal)]
    request_id = uuid.uuid4().hex
    body = error_json(refusal, request_id)
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "Connection": "close",
        "X-Request-Id": request_id,
        **SECURITY_HEADERS,
    }
    lines = [
        f"HTTP/1.1 {status} {_PHRASES[status]}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def end_body_with_connection(cycle: Any) -> None:
    """Let uvicorn answer without chunks, which HTTP/1.0 does not know."""
    send = cycle.send

    async def send_unchunked(message: Any) -> None:
        if message["type"] == "http.response.body":
            cycle.expected_content_length = len(message.get("body", b""))
        await send(message)

    cycle.chunked_encoding = False
    cycle.send = send_unchunked
