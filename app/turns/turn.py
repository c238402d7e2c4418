"""A turn as its readers see it: what has come so far and, in the end, how it ended."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from app.errors import ServiceError

MAX_BATCH = 256
"""How many events a reader is given at once: one that is far behind catches up in several writes."""


@dataclass(frozen=True, slots=True)
class End:
    """How a turn ended for those who follow it: without a failure it is whole and stored."""

    failure: ServiceError | None = None


class Turn:
    """The events of one turn, kept in memory for its readers.

    One generation writes; any number of readers follow, each at its own pace.
    """

    def __init__(self, turn_id: str) -> None:
        self.id = turn_id
        self.end: End | None = None
        self._events: list[bytes] = []
        self._changed = asyncio.Event()

    @property
    def has_events(self) -> bool:
        """Whether anything has come yet."""
        return bool(self._events)

    def publish(self, events: list[bytes]) -> None:
        """Hand events to every reader, together."""
        self._events += events
        self._wake()

    def close(self, end: End) -> None:
        """No event comes any more."""
        self.end = end
        self._wake()

    async def changed(self) -> None:
        """Wait for the next event or the end."""
        await self._changed.wait()

    async def follow(self) -> AsyncGenerator[list[bytes], None]:
        """All events from the first to the last, those that are there together; then `end` is set."""
        position = 0
        while True:
            if position < len(self._events):
                events = self._events[position : position + MAX_BATCH]
                position += len(events)
                yield events
            elif self.end is not None:
                return
            else:
                await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
