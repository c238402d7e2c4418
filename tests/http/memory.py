"""A connection in memory: the protocol as it is served, without a socket, so that thousands cost seconds."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Sequence
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from app.api.connection import INVALID_BODY_EXTENSION
from app.http.protocol import ConnectionLimits, HttpProtocol

_TURNS = 8
"""How often the event loop goes round between two parts: enough for an answer to come between them."""
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_REQUEST_ID = re.compile(rb"[0-9a-f]{32}")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request as the application sees it; 400 if its body will never be complete."""
    body = b""
    is_invalid = False
    while scope["method"] == "POST":
        message = await receive()
        body += message.get("body", b"")
        is_invalid = bool(scope["extensions"][INVALID_BODY_EXTENSION])
        if is_invalid or not message.get("more_body"):
            break
    seen = {
        "method": scope["method"],
        "path": scope["path"],
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": None if is_invalid else body.decode("latin-1"),
    }
    content = json.dumps(seen).encode()
    headers = [
        (b"content-length", b"%d" % len(content)),
        *([(b"connection", b"close")] if is_invalid else ()),
    ]
    await send({"type": "http.response.start", "status": 400 if is_invalid else 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class MemoryConnection(asyncio.Transport):
    """One client's connection to the protocol: what is sent to it, and what it answers."""

    def __init__(self, app: Any = echo, limits: ConnectionLimits | None = None) -> None:
        super().__init__()
        config = uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False)
        config.load()
        self.state = ServerState()
        self.protocol = HttpProtocol(config, self.state, {}, limits=limits or ConnectionLimits())
        self.written = bytearray()
        self.has_ended = False
        self._is_paused = False
        self._unread: deque[bytes] = deque()
        self.protocol.connection_made(self)

    async def send(self, parts: Sequence[bytes]) -> None:
        """Send the parts one by one, and wait for the answers to all whole requests."""
        for part in parts:
            self._unread.append(part)
            self._read()
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while self.state.tasks or self._unread:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    def leave(self) -> None:
        """Go away, which changes nothing of what was answered."""
        has_ended = self.has_ended
        self.protocol.connection_lost(None)
        self.has_ended = has_ended

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in _STATUS.findall(self.written)]

    @property
    def answer(self) -> tuple[bytes, bool]:
        """What was answered, without what differs every time, and whether it was the last answer."""
        return _REQUEST_ID.sub(b"", bytes(self.written)), self.has_ended

    # The transport as the protocol sees it.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.has_ended
        self.written += data

    def write_eof(self) -> None:
        self.has_ended = True

    def close(self) -> None:
        self.has_ended = True

    def abort(self) -> None:
        self.has_ended = True

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ARG002 - the base class's
        return default

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        asyncio.get_running_loop().call_soon(self._read)

    def _read(self) -> None:
        while self._unread and not self._is_paused:
            self.protocol.data_received(self._unread.popleft())
