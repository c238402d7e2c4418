"""Reads the body of a completion stream: what is a chunk, what is the end, whether the answer is whole."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx
import structlog

from app.errors import ServiceError, UpstreamError, UpstreamTruncated
from app.llm.chunk import Chunk, NoChunk, ReportedFailure, parse_chunk
from app.llm.deadlines import Deadlines
from app.llm.decoder import EventStreamDecoder, LineTooLong
from app.llm.finish import is_failure, is_finish, printable
from app.llm.http import PIECE_BYTES, BodyStream, pieces
from app.llm.refusals import Refused, read

_DONE = b"[DONE]"
_NOTHING = (b"", b"")
_END_SECONDS = 0.05
"""How long the end of a response is waited for, once the answer is whole."""
_SPARE_EVENTS, _EVENTS_PER_TOKEN = 8 * 1024, 4
_SPARE_BYTES, _BYTES_PER_TOKEN = 2 * 1024 * 1024, 2 * 1024
"""The most that is read of one answer. Recorded streams take up to 2 events, and 700 bytes, for a token."""

_log = structlog.get_logger()


async def read_completion_stream(
    response: httpx.Response,
    deadlines: Deadlines,
    on_chunks: Callable[[list[Chunk]], None],
    *,
    max_tokens: int,
    choices: int = 1,
) -> None:
    """Hand on the answer's chunks; those that arrive in one read come in one list.

    An answer is whole when its stream ends after a finish reason that is known. Content that comes after one
    proves that it was none. `[DONE]` alone proves nothing, and is not needed.

    Args:
        response: The response, whose body has not been read.
        deadlines: Learns of content, and of the finish.
        on_chunks: Takes the chunks.
        max_tokens: The number of tokens that the backend was asked for: what is read is in proportion to it.
        choices: The number of answers that the stream holds. The last finish of them ends it.

    Raises:
        Refused: The backend reported a failure.
        UpstreamError: It is no completion stream, or more than one answer takes.
        UpstreamTruncated: The stream ended before the answer was whole.
    """
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UpstreamError("The model's backend compressed its answer, which it was not asked for.")
    assert isinstance(response.stream, httpx.AsyncByteStream)  # the client is an asynchronous one
    answer = _Answer(deadlines, max_tokens, choices)

    def take(received: bytes) -> bool:
        if chunks := answer.feed(received):
            on_chunks(chunks)
        return not answer.is_over

    stream = response.stream  # past the layers of httpx that decode a body: there is nothing to decode
    parts = aiter(stream)
    try:
        await (stream.forward(take) if isinstance(stream, BodyStream) else _forward(parts, take))
        if not answer.is_over and (chunks := answer.end()):
            on_chunks(chunks)
    except httpx.RequestError:
        answer.is_torn = True
    answer.raise_unless_whole()
    if answer.is_over and not (isinstance(stream, BodyStream) and stream.is_complete):
        await _read_to_the_end(parts)


async def _forward(parts: AsyncIterator[bytes], consume: Callable[[bytes], bool]) -> None:
    """Do what `BodyStream.forward` does for the body of any other transport."""
    async for received in parts:
        async for piece in pieces(received):
            if not consume(piece):
                return


async def _read_to_the_end(parts: AsyncIterator[bytes]) -> None:
    """Read what ends the response, so that its connection can serve the next request."""
    with suppress(TimeoutError, httpx.RequestError):
        async with asyncio.timeout(_END_SECONDS):
            async for received in parts:
                if len(received) > PIECE_BYTES:
                    break


class _Answer:
    """The state of one answer: whether it has begun, is over and is whole."""

    def __init__(self, deadlines: Deadlines, max_tokens: int, choices: int) -> None:
        self._deadlines = deadlines
        self._decoder = EventStreamDecoder()
        self._now = asyncio.get_running_loop().time
        self._bytes_left = _SPARE_BYTES + _BYTES_PER_TOKEN * max_tokens
        self._events_left = _SPARE_EVENTS + _EVENTS_PER_TOKEN * max_tokens
        self._has_begun = False
        self._has_content = False
        self._finish_reason: str | None = None
        self._finishes_missing = choices
        self._was_disproved = False
        """Whether content has come after a finish reason: the next one proves as little."""
        self._failure: ServiceError | None = None
        self.is_over = False
        self.is_torn = False
        """Whether the connection broke before the body's end."""

    def feed(self, received: bytes) -> list[Chunk]:
        """Return the chunks up to the end or the first failure; what came before a failure is relayed."""
        chunks: list[Chunk] = []
        try:
            for data, kind in self._decoder.feed(received):
                if data.strip() == _DONE:
                    self.is_over = True
                    break
                self._read(data, kind, chunks)
        except NoChunk:
            self._fail(UpstreamError("The model's backend sent something that is no completion chunk."))
        except LineTooLong:
            self._fail(UpstreamError("The model's backend sent a line that is too long."))
        except ServiceError as failure:
            self._fail(failure)
        self._bytes_left -= len(received)
        self._events_left -= len(chunks)
        if self._bytes_left < 0 or self._events_left < 0:
            self._fail(UpstreamError("The model's backend sent more than an answer of this length takes."))
        return chunks

    def end(self) -> list[Chunk]:
        """Return the last chunk if only the blank line is missing after it; the body has ended cleanly."""
        chunks: list[Chunk] = []
        try:
            data, kind = self._decoder.end() or _NOTHING
            if data.strip() not in (b"", _DONE):
                self._read(data, kind, chunks)
        except (NoChunk, LineTooLong):
            pass  # the rest of an event that was cut off
        except ServiceError as failure:
            self._fail(failure)
        return chunks

    def raise_unless_whole(self) -> None:
        """Tell at the end of the stream why the answer is not whole."""
        if self._failure is not None:
            raise self._failure
        if not self._has_begun:
            raise UpstreamError("The model's backend sent no answer.")
        reason = self._finish_reason
        is_uncertain = self._was_disproved or self._finishes_missing > 0
        if reason is None or (self.is_torn and is_uncertain):
            raise UpstreamTruncated
        if not is_finish(reason):
            _log.warning("unknown finish reason", finish_reason=printable(reason))
            raise UpstreamTruncated(
                f"The model's backend ended the answer for a reason that is not known: {printable(reason)}."
            )

    @property
    def _is_certainly_whole(self) -> bool:
        return (
            self._finish_reason is not None
            and self._finishes_missing <= 0
            and not self._was_disproved
            and is_finish(self._finish_reason)
        )

    def _fail(self, failure: ServiceError) -> None:
        """Stop reading. What comes after a whole answer cannot spoil it."""
        self.is_over = True
        if self._failure is None and not self._is_certainly_whole:
            self._failure = failure

    def _read(self, data: bytes, kind: bytes, chunks: list[Chunk]) -> None:
        """Read one event's data by the event's type."""
        if not data or kind == b"ping":
            return
        if kind == b"error":
            raise self._refused(data)
        try:
            chunk = parse_chunk(data)
        except ReportedFailure:
            raise self._refused(data) from None
        if chunk.finish_reason is not None:
            self._read_finish(chunk, chunk.finish_reason, chunks)
            return
        chunks.append(chunk)
        if chunk.has_content:
            self._has_begun = self._has_content = True
            if self._finish_reason is not None:
                self._disprove_finish()
            self._deadlines.content_arrived(self._now())
        elif not chunk.is_usage_only:
            self._has_begun = True

    def _read_finish(self, chunk: Chunk, reason: str, chunks: list[Chunk]) -> None:
        if chunk.has_content:
            self._has_content = True
            if self._finish_reason is not None:
                self._disprove_finish()
            self._deadlines.content_arrived(self._now())
        if is_failure(reason):
            if chunk.has_content:
                chunks.append(chunk)
            raise UpstreamError(f"The model's backend failed with the finish reason {printable(reason)}.")
        chunks.append(chunk)
        self._has_begun = True
        if is_finish(reason):
            self._finish_reason = reason
            self._finishes_missing -= 1
            if self._finishes_missing <= 0:
                self._deadlines.answer_finished(self._now())
        elif self._finish_reason is None:
            self._finish_reason = reason

    def _disprove_finish(self) -> None:
        self._finish_reason = None
        self._was_disproved = True
        self._deadlines.finish_disproved()

    def _refused(self, data: bytes) -> Refused:
        """Read a reported failure. Before any content, the request may be mended and sent again."""
        return Refused(read(data), has_begun=self._has_content)
