"""A timer for a time that is put off again and again."""

import asyncio
import math
from collections.abc import Callable


class LazyTimer:
    """Calls back when a time has come that may be put off meanwhile: it looks only when it rings.

    Putting the time off costs nothing, so it may be done with every token. If the time may have become an
    earlier one, start the timer again.
    """

    def __init__(self, due: Callable[[], float], then: Callable[[], None]) -> None:
        """Be ready to start.

        Args:
            due: Returns the time, in the event loop's.
            then: Called once, when the time has come. The timer does not go on by itself.
        """
        self._loop = asyncio.get_running_loop()
        self._due = due
        self._then = then
        self._handle: asyncio.TimerHandle | None = None
        self._rings_at = math.inf

    def start(self) -> None:
        """Wait for the time that is due now.

        A timer that rings early enough is left alone: one that is set anew with every token never rings.
        """
        due = self._due()
        if due < self._rings_at:
            self.cancel()
            self._rings_at = due
            self._handle = self._loop.call_at(due, self._ring)

    def cancel(self) -> None:
        """Wait no longer."""
        if self._handle is not None:
            self._handle.cancel()
            self._rings_at = math.inf

    def _ring(self) -> None:
        self._rings_at = math.inf
        if self._due() > self._loop.time():
            self.start()
        else:
            self._then()
