"""Reads bodies of a backend that are not answers: bounded in size and in time, and never decompressed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx


async def read_body(response: httpx.Response, *, most: int, seconds: float) -> bytes:
    """Return what comes in time of a response's body, at most `most` bytes; nothing of a compressed one.

    The service asks for no encoding, so a compressed body is a mistake, or a bomb.
    """
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return b""
    return await _collect(_parts(response), most=most, seconds=seconds)


async def read_json_instead_of_stream(response: httpx.Response, *, most: int, seconds: float) -> bytes | None:
    """Return the body if it is JSON and no event stream; otherwise leave all of it to be read.

    The content type alone does not tell: some servers send events under that of JSON. The first part may take
    as long as a first token; the caller's deadlines bound it.
    """
    if "json" not in response.headers.get("Content-Type", "").lower():
        return None
    parts = _parts(response)
    try:
        first = await anext(parts, b"")
    except httpx.RequestError:
        return b""
    if first.lstrip()[:1] in (b"{", b"["):
        return first + await _collect(parts, most=most, seconds=seconds)
    response.stream = _Resumed(first, parts, response.stream)
    return None


class _Resumed(httpx.AsyncByteStream):
    """A stream whose first part has been looked at."""

    def __init__(
        self, first: bytes, rest: AsyncIterator[bytes], stream: httpx.AsyncByteStream | httpx.SyncByteStream
    ) -> None:
        self._first = first
        self._rest = rest
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._first
        async for part in self._rest:
            yield part

    async def aclose(self) -> None:
        if isinstance(self._stream, httpx.AsyncByteStream):
            await self._stream.aclose()


def _parts(response: httpx.Response) -> AsyncIterator[bytes]:
    """Return the body as it arrives, past the layers of httpx that decode it."""
    assert isinstance(response.stream, httpx.AsyncByteStream)  # it is the response of an asynchronous client
    return aiter(response.stream)


async def _collect(parts: AsyncIterator[bytes], *, most: int, seconds: float) -> bytes:
    body = bytearray()
    with suppress(TimeoutError, httpx.RequestError):
        async with asyncio.timeout(seconds):
            async for part in parts:
                body += part
                if len(body) >= most:
                    break
    return bytes(body[:most])
