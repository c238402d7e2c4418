"""A timer for what is put off again and again."""

import asyncio
from collections.abc import Callable


class LazyTimer:
    """Calls back once a time has come that may be put off meanwhile: it looks at it only when it rings.

    Putting it off costs nothing, so it may be done with every token. Where the time comes to be an earlier
    one, the timer has to be started again.
    """

    def __init__(self, due: Callable[[], float], then: Callable[[], None]) -> None:
        """Be ready to start.

        Args:
            due: Gives the time, in the event loop's.
            then: What is called. The timer does not go on by itself.
        """
        self._loop = asyncio.get_running_loop()
        self._due = due
        self._then = then
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Wait for the time that is due now."""
        self.cancel()
        self._handle = self._loop.call_at(self._due(), self._ring)

    def cancel(self) -> None:
        """Wait no longer."""
        if self._handle is not None:
            self._handle.cancel()

    def _ring(self) -> None:
        if self._due() > self._loop.time():
            self.start()
        else:
            self._then()
