"""The body of a response that is still arriving."""

import asyncio
from collections.abc import AsyncIterator, Callable

import httpx

PIECE_BYTES = 8 * 1024
"""The largest read that is handed on at once. Tokens make smaller ones, and other tasks do not wait long."""
MAX_BUFFERED_BYTES = 64 * 1024
"""How much arrives before the connection stops reading, while no consumer takes it."""


class BodyStream(httpx.AsyncByteStream):
    """Hands bytes to its one consumer, in the order in which they arrive.

    A consumer either iterates, or passes a callable to `forward`. The connection's `data_received` calls it
    directly: no queue, no future and no task switch stand between a read and its decoding. So it runs in the
    connection's context, not in that of the request's task.

    Attributes:
        is_complete: Whether its last byte has arrived.
    """

    def __init__(
        self, *, pause: Callable[[], None], resume: Callable[[], None], close: Callable[[], None]
    ) -> None:
        """Start empty.

        Args:
            pause: Stops the connection's reads.
            resume: Lets it read again.
            close: Closes the connection.
        """
        self._pause = pause
        self._resume = resume
        self._close = close
        self._buffer: list[bytes] = []
        self._size = 0
        self._is_paused = False
        self.is_complete = False
        self._failure: Exception | None = None
        self._consume: Callable[[bytes], bool] | None = None
        """Set while the consumer has taken all that came, and waits for more."""
        self._wants_more = True
        self._waiter: asyncio.Future[None] | None = None

    def received(self, data: bytes) -> None:
        """Take what one read of the connection brought."""
        if self._consume is not None and not self._buffer and len(data) <= PIECE_BYTES:
            self._hand_on(data, self._consume)
            return
        self._buffer.append(data)
        self._size += len(data)
        if self._size > MAX_BUFFERED_BYTES and not self._is_paused:
            self._is_paused = True
            self._pause()
        self._wake()

    def ended(self, failure: Exception | None = None) -> None:
        """End the body: completely, or with a failure. The connection may serve the next request then."""
        if self.is_complete:
            return
        self._read_on()
        self.is_complete = failure is None
        if self._failure is None:
            self._failure = failure
        self._wake()

    async def forward(self, consume: Callable[[bytes], bool]) -> None:
        """Hand bytes to `consume` as they arrive, until it returns False or the body ends.

        Raises:
            httpx.TransportError: The connection failed before the body was complete.
        """
        self._wants_more = True
        while self._wants_more:
            if data := self._take():
                async for piece in pieces(data):
                    if not consume(piece):
                        return
            elif self.is_complete:
                return
            else:
                self._consume = consume
                try:
                    await self._wait()
                finally:
                    self._consume = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            if data := self._take():
                yield data
            elif self.is_complete:
                return
            else:
                await self._wait()

    def close(self) -> None:
        """Close the connection, unless the body is complete: its rest belongs to no other request."""
        if not self.is_complete:
            self._close()

    async def aclose(self) -> None:
        """Do what `close` does, for httpx."""
        self.close()

    def _hand_on(self, data: bytes, consume: Callable[[bytes], bool]) -> None:
        try:
            self._wants_more = consume(data)
        except Exception as error:  # noqa: BLE001 - raised again by `forward`, in the consumer's own task
            self._failure = error
            self._wants_more = False
        if not self._wants_more:
            self._consume = None
            self._wake()

    def _take(self) -> bytes:
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._size = 0
        self._read_on()
        return data

    def _read_on(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._resume()

    async def _wait(self) -> None:
        self._raise_failure()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    """Cut a large read; between its pieces other tasks run."""
    yield data[:PIECE_BYTES]
    for start in range(PIECE_BYTES, len(data), PIECE_BYTES):
        await asyncio.sleep(0)
        yield data[start : start + PIECE_BYTES]
