"""Raw exchanges: bytes out, answers in."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

_MORE_SECONDS = 0.1
_IDS = re.compile(rb"[0-9a-f]{32}")
_DATE = re.compile(rb"date: [^\r]*", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")


@dataclass(frozen=True)
class Answer:
    """All that came on a connection, without what differs every time, and whether the service closed it."""

    content: bytes
    is_closed: bool

    @property
    def statuses(self) -> list[int]:
        return [int(status) for status in _STATUS.findall(self.content)]


async def exchange(port: int, parts: Sequence[bytes], *, answers: int) -> Answer:
    """Send each part in a segment of its own, read so many answers, and look for one too many.

    The service shares the event loop, so it sees each part in a read of its own.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = bytearray()
    is_closed = False

    async def read() -> None:
        nonlocal is_closed
        while data := await reader.read(65536):
            received.extend(data)
        is_closed = True

    reading = asyncio.create_task(read())
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(60):
            while not reading.done() and len(_STATUS.findall(received)) < answers:
                await asyncio.wait({reading}, timeout=0.005)
        await asyncio.wait({reading}, timeout=_MORE_SECONDS)
    finally:
        reading.cancel()
        await asyncio.wait({reading})
        writer.close()
    return Answer(_DATE.sub(b"", _IDS.sub(b"", bytes(received))), is_closed)
