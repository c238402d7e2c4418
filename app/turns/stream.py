"""A turn as its readers see it: the events so far and, at last, how it ended."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self

from app.errors import InvalidLastEventId
from app.models import TurnEnd, TurnRecord
from app.quota import Quota
from app.turns.event_log import EventLog

TakeAtOnce = Callable[[int, list[bytes]], bool]

_MOST_AT_ONCE = 32


class TurnStream:
    """The events of one turn, kept in memory for its readers.

    One writer publishes; any number of readers follow, each at its own pace.

    Attributes:
        id: The turn's id.
        user_id: The user whose turn it is.
        end: How the turn ended; None while it runs.
        is_committed: Whether the HTTP 200 has been committed. After that, failures go into the stream.
        dropped_messages: How many older messages the prompt lacks. Only the owner knows.
        has_remote_readers: Whether readers on other processes follow the turn's journal.
        on_readers_changed: Called when the first reader has come, or the last one has gone before the end.
    """

    def __init__(self, turn_id: str, user_id: str) -> None:
        self.id = turn_id
        self.user_id = user_id
        self.events = EventLog()
        self.end: TurnEnd | None = None
        self.is_committed = False
        self.dropped_messages = 0
        self.has_remote_readers = False
        self.on_readers_changed: Callable[[], None] = lambda: None
        self._readers = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self._followers: dict[Reader, None] = {}
        """Readers that wait for events, and are called with them."""

    @property
    def has_readers(self) -> bool:
        """Whether a reader on this process follows the turn."""
        return self._readers > 0

    @property
    def is_unread(self) -> bool:
        """Whether no reader follows the turn, on any process."""
        return not (self.has_readers or self.has_remote_readers)

    def publish(self, events: list[bytes]) -> None:
        """Append events, and let the readers take them."""
        self.is_committed = True
        first = len(self.events) + 1
        self.events.extend(events)
        if self._waiting:
            self._wake()
        for reader in self._followers:  # none of them comes or goes meanwhile: their tasks run later
            reader.events_arrived(first, events)

    def close(self, end: TurnEnd) -> None:
        """End the stream. The first end stays; later calls change nothing."""
        if self.end is None:
            self.end = end
            self._wake()
            for reader in self._followers:
                reader.wake()

    def commit_status(self) -> None:
        """Note that the HTTP 200 has been committed, with or without a first event."""
        self.is_committed = True
        self._wake()

    def changed(self) -> asyncio.Future[None]:
        """Return a future that is done with the next event, the commit of the status, or the end."""
        waiting = self._loop.create_future()
        self._waiting.append(waiting)
        return waiting

    async def ended(self) -> TurnEnd:
        """Wait for the end."""
        while self.end is None:
            await self.changed()
        return self.end

    async def committed_or_ended(self) -> None:
        """Wait until the status is committed or the turn has ended."""
        while not self.is_committed and self.end is None:
            await self.changed()

    def open_reader(self, after: int = 0) -> "Reader":
        """Open a reader that begins after the event with this number."""
        self._readers += 1
        if self._readers == 1:
            self.on_readers_changed()
        return Reader(self, after)

    def follow(self, reader: "Reader") -> None:
        """Call the reader with each event, until it is unfollowed."""
        self._followers[reader] = None

    def unfollow(self, reader: "Reader") -> None:
        """Call the reader no more."""
        self._followers.pop(reader, None)

    def reader_left(self) -> None:
        """Count a reader out."""
        self._readers -= 1
        if self._readers == 0 and self.end is None:
            self.on_readers_changed()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)


class Reader:
    """One reader's position in a turn. It counts as a reader until it is closed.

    Attributes:
        position: The number of the last event that the reader has taken.
        quota: What the user may still start; set only for the reader that started the turn.
        record: The turn's record; set only for the reader that started the turn.
    """

    def __init__(self, stream: TurnStream, after: int) -> None:
        self.stream = stream
        self.position = after
        self.is_open = True
        self.quota: Quota | None = None
        self.record: TurnRecord | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._take_at_once: TakeAtOnce | None = None

    def resume_after(self, number: int) -> None:
        """Continue after the event with this number.

        Raises:
            InvalidLastEventId: The turn was complete, or stopped, before it came to that event.
        """
        end = self.stream.end
        if end is not None and end.code is None and number > len(self.stream.events):
            self.close()
            raise InvalidLastEventId(turn_id=self.stream.id)
        self.position = number

    @property
    def is_behind(self) -> bool:
        """Whether there are events to take."""
        return self.position < len(self.stream.events)

    def take(self) -> list[bytes]:
        """Return the next events, or an empty list if there is nothing new."""
        events = self.stream.events.after(self.position)
        self.position += len(events)
        return events

    async def wait(self, take_at_once: TakeAtOnce | None = None) -> None:
        """Wait for the end, or until `wake` is called, or for events that are not taken at once.

        Args:
            take_at_once: Is handed each publication, outside this task: the number of its first event, and
                the events. If it returns False, the wait ends. None: the wait ends with new events.
        """
        self._take_at_once = take_at_once
        self._waiting = asyncio.get_running_loop().create_future()
        self.stream.follow(self)
        try:
            await self._waiting
        finally:
            self.stream.unfollow(self)

    def events_arrived(self, first: int, events: list[bytes]) -> None:
        """Let a waiting reader take events, the first of which has this number.

        If that fails, its own task raises the error. The reader's task takes a large publication itself, and
        takes any if it is ahead: a client may know events that a mirror of the turn does not have yet.
        """
        if self._waiting is None or self._waiting.done():
            return
        if self._take_at_once is None or len(events) > _MOST_AT_ONCE or first != self.position + 1:
            self.wake()
            return
        self.position += len(events)
        try:
            if not self._take_at_once(first, events):
                self.wake()
        except Exception as error:  # noqa: BLE001 - the turn goes on without this reader
            self._waiting.set_exception(error)

    def wake(self) -> None:
        """End a wait early, with or without a new event."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self) -> None:
        """Stop reading."""
        if self.is_open:
            self.is_open = False
            self.wake()
            self.stream.reader_left()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
