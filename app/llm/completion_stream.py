"""Reads the body of a completion stream: what is a chunk, what is the end, is the answer whole."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx

from app.errors import UpstreamError, UpstreamTruncated
from app.llm.chunk import Chunk, parse_chunk
from app.llm.deadlines import Deadlines
from app.llm.decoder import Event, EventStreamDecoder, LineTooLong
from app.llm.failures import TRANSPORT_ERRORS

_DONE = b"[DONE]"
_END_SECONDS = 0.05


async def read_completion_stream(
    response: httpx.Response, deadlines: Deadlines, on_chunks: Callable[[list[Chunk]], None]
) -> None:
    """Hand on the answer's chunks; those that arrive in one read come in one list.

    An answer is whole once a `finish_reason` has come: `[DONE]` alone proves nothing, and is not needed.

    Raises:
        UpstreamError: A failure that the backend reported, or something that is no completion stream.
        UpstreamTruncated: The stream ended before the answer was whole.
    """
    answer = _Answer(deadlines)
    parts = _received(response)
    with suppress(*TRANSPORT_ERRORS):
        async for received in parts:
            if chunks := answer.feed(received):
                on_chunks(chunks)
            if answer.failure is not None:
                raise answer.failure
            if answer.is_over:
                await _read_to_the_end(parts)
                break
    if not answer.is_whole:
        raise UpstreamTruncated if answer.has_begun else UpstreamError("The model's backend sent no answer.")


def _received(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it arrives; past the layers of httpx that decode it, where there is nothing to decode."""
    if "Content-Encoding" in response.headers or not isinstance(response.stream, httpx.AsyncByteStream):
        return response.aiter_bytes()
    return aiter(response.stream)


async def _read_to_the_end(parts: AsyncIterator[bytes]) -> None:
    """Take what ends the response, so that its connection can serve the next request."""
    with suppress(TimeoutError, *TRANSPORT_ERRORS):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in parts:
                pass


class _Answer:
    def __init__(self, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._decoder = EventStreamDecoder()
        self._now = asyncio.get_running_loop().time
        self.has_begun = False
        self.is_whole = False
        self.is_over = False
        self.failure: UpstreamError | None = None

    def feed(self, received: bytes) -> list[Chunk]:
        """The chunks up to the first failure, which is kept: what came before it is still relayed."""
        chunks: list[Chunk] = []
        try:
            for event in self._decoder.feed(received):
                if event.data.strip() == _DONE:
                    self.is_over = True
                    break
                if event.data and event.type != b"ping":
                    chunks.append(self._chunk(event))
        except LineTooLong:
            self._fail(UpstreamError("The model's backend sent a line that is too long."))
        except UpstreamError as error:
            self._fail(error)
        return chunks

    def _fail(self, failure: UpstreamError) -> None:
        """What comes after a whole answer cannot spoil it."""
        if self.is_whole:
            self.is_over = True
        else:
            self.failure = failure

    def _chunk(self, event: Event) -> Chunk:
        if event.type == b"error":
            raise UpstreamError
        chunk = parse_chunk(event.data)
        self.has_begun = self.has_begun or not chunk.is_usage_only
        if chunk.has_content:
            self._deadlines.content_arrived(self._now())
        if chunk.finish_reason is not None and not self.is_whole:
            self.is_whole = True
            self._deadlines.answer_finished(self._now())
        return chunk
