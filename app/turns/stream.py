"""A turn as its readers see it: what has come so far and, in the end, how it ended."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.errors import Quota
from app.models import TurnEnd
from app.turns.event_log import EventLog


class TurnStream:
    """The events of one turn, kept in memory for its readers.

    One writer publishes; any number of readers follow, each at its own pace.
    """

    def __init__(self, turn_id: str) -> None:
        """Begin without events.

        Args:
            turn_id: What readers know the turn by.
        """
        self.id = turn_id
        self.on_readers_changed: Callable[[], None] = lambda: None
        """Called when the first reader has come or the last one has gone."""
        self.end: TurnEnd | None = None
        self.is_committed = False
        """Whether its status is out: from then on it fails in the stream."""
        self.dropped_messages = 0
        """How many older messages its prompt lacks; only its owner knows."""
        self.events = EventLog()
        self.has_remote_readers = False
        """Whether its journal has readers on other processes."""
        self.journalled = 0
        """How many of them have been written down."""
        self._readers = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def has_readers(self) -> bool:
        return self._readers > 0

    def publish(self, events: list[bytes]) -> None:
        """Hand events to every reader, together."""
        self.is_committed = True
        self.events.extend(events)
        self._wake()

    def close(self, end: TurnEnd) -> None:
        """No event comes any more; the first end stays."""
        if self.end is None:
            self.end = end
            self._wake()

    def commit_status(self) -> None:
        """The status is out, with or without an event."""
        self.is_committed = True
        self._wake()

    def changed(self) -> asyncio.Future[None]:
        """Done with the next event or the end."""
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        return waiting

    async def ended(self) -> TurnEnd:
        """Wait for the end."""
        while self.end is None:
            await self.changed()
        return self.end

    def open_reader(self, after: int = 0) -> "Reader":
        """Begin to read after the event of this number."""
        self._readers += 1
        if self._readers == 1:
            self.on_readers_changed()
        return Reader(self, after)

    def reader_left(self) -> None:
        """A reader has gone."""
        self._readers -= 1
        if self._readers == 0:
            self.on_readers_changed()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)


class Reader:
    """One reader's place in a turn. It counts as one from the start until it is closed."""

    def __init__(self, turn: TurnStream, after: int) -> None:
        self.turn = turn
        self.position = after
        """The number of the last event that it has."""
        self.is_open = True
        self.quota: Quota | None = None
        """What its user may still start; told to whoever has started the turn."""
        self._waiting: asyncio.Future[None] | None = None

    def take(self) -> list[bytes]:
        """The next events; none: there is nothing new yet."""
        events = self.turn.events.after(self.position)
        self.position += len(events)
        return events

    async def wait(self) -> None:
        """Wait for the next event or the end, or until it is woken."""
        self._waiting = self.turn.changed()
        await self._waiting

    def wake(self) -> None:
        """Let it look around, with or without anything new."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Leave."""
        if self.is_open:
            self.is_open = False
            self.wake()
            self.turn.reader_left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
