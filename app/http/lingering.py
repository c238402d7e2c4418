"""A transport that closes without losing its last answer, and without waiting for ever."""

import asyncio
from collections.abc import Callable

_LINGER_SECONDS = 2.0


class LingeringTransport(asyncio.Transport):
    """Closes in two steps, as RFC 9112, 9.6, asks for.

    A client that still sends when its connection is closed gets a reset, and may lose the answer. So:

    1. No more is written, and the client sees the end of the answer.
    2. What the client still sends is read and dropped, until it closes too, for at most two seconds.

    A client that takes nothing of what was written is waited for as long as any slow reader.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        is_idle: Callable[[], bool],
        resume_reading: Callable[[], None],
        slow_reader_seconds: float,
    ) -> None:
        """Wrap a transport.

        Args:
            transport: The connection's own.
            is_idle: Says whether the client neither sends nor waits; then there is nothing to linger for.
            resume_reading: Reads on if reading was paused.
            slow_reader_seconds: How long a client may take nothing of what was written.
        """
        super().__init__()
        self._transport = transport
        self._is_idle = is_idle
        self._resume_reading = resume_reading
        self._slow_reader_seconds = slow_reader_seconds
        self._loop = asyncio.get_running_loop()
        self._is_ending = False
        self._unsent = 0
        self._timer: asyncio.TimerHandle | None = None
        # On a token's path: bound once, so that the wrapper costs nothing there.
        self.write = transport.write  # type: ignore[method-assign]
        self.pause_reading = transport.pause_reading  # type: ignore[method-assign]
        self.resume_reading = transport.resume_reading  # type: ignore[method-assign]
        self.get_extra_info = transport.get_extra_info  # type: ignore[method-assign]

    def is_closing(self) -> bool:
        return self._is_ending or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        if self._is_idle() and not self._transport.get_write_buffer_size():
            self._transport.close()
            return
        self._is_ending = True
        self._resume_reading()
        self._transport.write_eof()
        self.expect_progress()

    def abort(self) -> None:
        self._transport.abort()

    def expect_progress(self) -> None:
        """Begin to watch that the client takes what was written."""
        self._cancel()
        self._unsent = self._transport.get_write_buffer_size()
        seconds = self._slow_reader_seconds if self._unsent else _LINGER_SECONDS
        self._timer = self._loop.call_later(seconds, self._look)

    def expect_no_progress(self) -> None:
        """Stop watching: the client has taken enough."""
        if not self._is_ending:
            self._cancel()

    def connection_lost(self) -> None:
        """Forget the connection."""
        self._cancel()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Abort unless the client has taken something since the last look."""
        self._timer = None
        unsent = self._transport.get_write_buffer_size()
        if unsent and unsent < self._unsent:
            self.expect_progress()
        else:
            self._transport.abort()
