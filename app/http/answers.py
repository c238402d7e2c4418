"""Answers that no application gives, and bodies that HTTP/1.0 can read."""

import uuid
from collections.abc import Callable
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


def chunk_writer(cycle: Any) -> Callable[[bytes], bool]:
    """Return what writes a part of a chunked body at once, past uvicorn's own `send`.

    It returns False, and writes nothing, if the client has gone or takes nothing now, or the answer is not a
    chunked one that has begun and not ended.
    """

    def write(part: bytes) -> bool:
        can_write = (
            cycle.chunked_encoding
            and cycle.response_started
            and not (cycle.response_complete or cycle.disconnected or cycle.flow.write_paused)
        )
        if can_write:
            cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
        return bool(can_write)

    return write
