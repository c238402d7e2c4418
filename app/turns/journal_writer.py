"""Writes the journals of all running turns together, off the tokens' path."""

import asyncio
from collections.abc import Sequence

from app.errors import HistoryUnavailable
from app.store.journal import TurnJournal
from app.turns.background import repeat
from app.turns.stream import TurnStream

_INTERVAL_SECONDS = 0.04
_SECONDS_A_TURN = 0.01
_MAX_SECONDS = 2.0
"""How long what nobody reads elsewhere may wait: only where this process dies it is missed. With every turn
that is running it waits longer, so that Redis gets some 100 entries a second, however many there are."""
_PAUSE_SECONDS = 0.5
"""Between attempts while Redis is away."""


class JournalWriter:
    """Gathers what came in some tens of milliseconds into one pipeline, however many turns are running."""

    def __init__(self, journal: TurnJournal) -> None:
        self._journal = journal
        self._waiting: dict[TurnStream, float] = {}
        """What is to be written, and since when."""
        self._has_work = asyncio.Event()

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest of what is to be written has waited."""
        now = _now()
        return now - min(self._waiting.values(), default=now)

    def note(self, turn: TurnStream) -> None:
        """Something has been published in this turn."""
        if turn not in self._waiting:
            self._waiting[turn] = _now()
            self._has_work.set()

    def forget(self, turn: TurnStream) -> None:
        """Nothing is written for this turn any more."""
        self._waiting.pop(turn, None)

    async def flush(self, turn: TurnStream) -> None:
        """Write what has not been written yet of this turn, now.

        Raises:
            HistoryUnavailable: It is still to be written.
        """
        while turn.journalled < len(turn.events):
            if not await self._write([turn]):
                raise HistoryUnavailable

    async def run(self) -> None:
        """Write until cancelled; what Redis did not take is written when it is back."""
        await repeat(
            self._gather_and_write,
            when_unreachable="the journal waits: Redis does not take it",
            pause_seconds=_PAUSE_SECONDS,
        )

    async def _gather_and_write(self) -> None:
        await self._has_work.wait()
        await asyncio.sleep(_INTERVAL_SECONDS)
        latest = _now() - min(_SECONDS_A_TURN * len(self._waiting), _MAX_SECONDS)
        due = [
            turn
            for turn, since in self._waiting.items()
            # The first events are what tells that a turn has begun, whose question is kept then.
            if turn.has_remote_readers or not turn.journalled or since <= latest
        ]
        if not self._waiting:
            self._has_work.clear()
        if due and not await self._write(due):
            raise HistoryUnavailable

    async def _write(self, turns: Sequence[TurnStream]) -> bool:
        """Write what these turns have to write; False: Redis refused some of it, which waits on.

        Two writes of one turn may be under way at once, one with the events of the other and more: Redis
        takes either both, or the longer one alone.

        Raises:
            HistoryUnavailable: All of them wait on.
        """
        batches = {
            turn.id: (len(turn.events), turn.events.all_after(turn.journalled))
            for turn in turns
            if turn.journalled < len(turn.events)
        }
        written = await self._journal.append(batches)
        for turn in turns:
            turn.journalled = written.get(turn.id, turn.journalled)
            if turn.id in written or turn.id not in batches:
                self.forget(turn)
            if turn.journalled < len(turn.events):  # more has come in the meantime, or some was lost
                self.note(turn)
        return len(written) == len(batches)


def _now() -> float:
    return asyncio.get_running_loop().time()
