"""Writes the journals of all running turns together, off the token path."""

import asyncio
from collections.abc import Sequence

from app.clock import now
from app.errors import HistoryUnavailable
from app.store.journal import TurnJournal
from app.turns.background import repeat
from app.turns.stream import TurnStream

_INTERVAL_SECONDS = 0.04
_SECONDS_PER_TURN = 0.01
_MAX_SECONDS = 2.0
"""How long events that no remote reader waits for may stay unwritten: they are missed only if this process
dies. The delay grows with the number of running turns, so Redis gets some 100 entries a second in all."""
_PAUSE_SECONDS = 0.5
"""The pause between attempts while Redis is unreachable."""


class JournalWriter:
    """Writes what arrived in some 40 ms as one pipeline, however many turns are running."""

    def __init__(self, journal: TurnJournal) -> None:
        self._journal = journal
        self._written: dict[TurnStream, int] = {}
        """The number of the last event in the journal, per stream."""
        self._waiting: dict[TurnStream, float] = {}
        """The streams with unwritten events, and since when they wait."""
        self._has_work = asyncio.Event()

    @property
    def lag_seconds(self) -> float:
        """How long the oldest unwritten event has been waiting."""
        moment = now()
        return moment - min(self._waiting.values(), default=moment)

    def note(self, stream: TurnStream) -> None:
        """Schedule the events that were just published in this stream."""
        if stream not in self._waiting:
            self._written.setdefault(stream, 0)
            self._waiting[stream] = now()
            self._has_work.set()

    def forget(self, stream: TurnStream) -> None:
        """Write nothing more for this stream."""
        self._waiting.pop(stream, None)
        self._written.pop(stream, None)

    def rewind(self, stream: TurnStream, written: int) -> None:
        """Write again what Redis has lost after the event with this number."""
        self._written[stream] = written

    def unwritten(self, stream: TurnStream) -> tuple[int, list[bytes]]:
        """Return the number of the last event, and the events that the journal may lack."""
        return len(stream.events), stream.events.all_after(self._written.get(stream, 0))

    async def flush(self, stream: TurnStream) -> None:
        """Write all events of this stream now.

        Raises:
            HistoryUnavailable: Some are not written yet; they stay scheduled.
        """
        while self._written.get(stream, 0) < len(stream.events):
            if not await self._write([stream]):
                raise HistoryUnavailable

    async def run(self) -> None:
        """Write until cancelled. What Redis does not accept now is written when Redis is back."""
        await repeat(self._collect_and_write, failure="journal write failed", pause_seconds=_PAUSE_SECONDS)

    async def _collect_and_write(self) -> None:
        await self._has_work.wait()
        await asyncio.sleep(_INTERVAL_SECONDS)
        latest = now() - min(_SECONDS_PER_TURN * len(self._waiting), _MAX_SECONDS)
        due = [
            stream
            for stream, since in self._waiting.items()
            # A turn's first entry proves that the turn has begun, so that its question is kept.
            if stream.has_remote_readers or not self._written.get(stream) or since <= latest
        ]
        if not self._waiting:
            self._has_work.clear()
        if due and not await self._write(due):
            raise HistoryUnavailable

    async def _write(self, streams: Sequence[TurnStream]) -> bool:
        """Write the unwritten events of these streams. Return False if Redis refused some of them.

        Two writes for one stream may overlap, the later one with the earlier one's events and more. Redis
        accepts either both, or the longer one alone.

        Raises:
            HistoryUnavailable: Nothing is known to be written; all of it stays scheduled.
        """
        batches = {
            stream.id: self.unwritten(stream)
            for stream in streams
            if self._written.get(stream, 0) < len(stream.events)
        }
        stored = await self._journal.append(batches)
        for stream in streams:
            if stream not in self._written:
                continue  # forgotten meanwhile
            if stream.id in stored:
                self._written[stream] = stored[stream.id]
            if stream.id in stored or stream.id not in batches:
                self._waiting.pop(stream, None)
            # More events came meanwhile, or Redis has lost some.
            if self._written[stream] < len(stream.events):
                self.note(stream)
        return len(stored) == len(batches)
