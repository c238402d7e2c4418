"""A turn as its readers see it: what has come so far and, in the end, how it ended."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Self

from app.models import TurnEnd

MAX_BATCH = 256
"""How many events a reader is given at once: one that is far behind catches up in several writes."""


class Turn:
    """The events of one turn, kept in memory for its readers.

    One writer publishes; any number of readers follow, each at its own pace.
    """

    def __init__(self, turn_id: str, *, on_readers_changed: Callable[[], None] = lambda: None) -> None:
        """Begin without events.

        Args:
            turn_id: What readers know the turn by.
            on_readers_changed: Called when the first reader has come or the last one has gone.
        """
        self.id = turn_id
        self.end: TurnEnd | None = None
        self.has_begun = False
        """Whether its status is out: from then on it fails in the stream."""
        self.trimmed = 0
        """How many older messages its prompt lacks; only its owner knows."""
        self.events: list[bytes] = []
        self.is_read_elsewhere = False
        """Whether its journal has readers on other processes."""
        self.journalled = 0
        """How many of them have been written down."""
        self._on_readers_changed = on_readers_changed
        self._readers = 0
        self._changed = asyncio.Event()

    @property
    def has_readers(self) -> bool:
        return self._readers > 0

    def publish(self, events: list[bytes]) -> None:
        """Hand events to every reader, together."""
        self.has_begun = True
        self.events += events
        self._wake()

    def close(self, end: TurnEnd) -> None:
        """No event comes any more; the first end stays."""
        if self.end is None:
            self.end = end
            self._wake()

    def begin(self) -> None:
        """The status is out, with or without an event."""
        self.has_begun = True
        self._wake()

    async def changed(self) -> None:
        """Wait for the next event or the end."""
        await self._changed.wait()

    async def ended(self) -> TurnEnd:
        """Wait for the end."""
        while self.end is None:
            await self.changed()
        return self.end

    def open_reader(self, after: int = 0) -> "Reader":
        """Begin to read after the event of this number."""
        self._readers += 1
        if self._readers == 1:
            self._on_readers_changed()
        return Reader(self, after)

    def reader_left(self) -> None:
        """A reader has gone."""
        self._readers -= 1
        if self._readers == 0:
            self._on_readers_changed()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Reader:
    """One reader's place in a turn. It counts as one from the start until it is closed."""

    def __init__(self, turn: Turn, after: int) -> None:
        self.turn = turn
        self.position = after
        """The number of the last event that it has."""
        self._is_open = True

    async def events(self) -> AsyncGenerator[list[bytes], None]:
        """All events from its place on, those that are there in one list; then the turn has its end."""
        turn = self.turn
        while True:
            if self.position < len(turn.events):
                events = turn.events[self.position : self.position + MAX_BATCH]
                self.position += len(events)
                yield events
            elif turn.end is not None:
                return
            else:
                await turn.changed()

    def close(self) -> None:
        """Leave."""
        if self._is_open:
            self._is_open = False
            self.turn.reader_left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
