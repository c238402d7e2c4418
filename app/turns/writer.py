"""Writes the journals of all running turns together, off the tokens' path."""

import asyncio

from app.errors import HistoryUnavailable
from app.store.journal import TurnJournal
from app.turns.tasks import repeat
from app.turns.turn import Turn

_INTERVAL_SECONDS = 0.04
_PAUSE_SECONDS = 0.5
"""Between attempts while Redis is away."""


class JournalWriter:
    """Gathers what came in some tens of milliseconds into one pipeline, however many turns are running."""

    def __init__(self, journal: TurnJournal) -> None:
        self._journal = journal
        self._waiting: dict[str, Turn] = {}
        self._has_work = asyncio.Event()
        self._lock = asyncio.Lock()

    def note(self, turn: Turn) -> None:
        """Something has been published in this turn."""
        self._waiting[turn.id] = turn
        self._has_work.set()

    def forget(self, turn: Turn) -> None:
        """Nothing is written for this turn any more."""
        self._waiting.pop(turn.id, None)

    async def flush(self, turn: Turn) -> None:
        """Write what has not been written yet of this turn, now.

        Raises:
            HistoryUnavailable: It is still to be written.
        """
        self.note(turn)
        if turn.id in await self._write():
            raise HistoryUnavailable

    async def run(self) -> None:
        """Write until cancelled; what Redis did not take is written when it is back."""
        await repeat(
            self._gather_and_write,
            when_away="the journal waits: Redis does not take it",
            pause_seconds=_PAUSE_SECONDS,
        )

    async def _gather_and_write(self) -> None:
        await self._has_work.wait()
        await asyncio.sleep(_INTERVAL_SECONDS)
        if await self._write():
            raise HistoryUnavailable

    async def _write(self) -> set[str]:
        """Write all that waits; gives the ids of the turns whose events Redis refused, which wait on."""
        # One at a time: two writes of one turn could overtake each other, and Redis refuses the smaller id.
        async with self._lock:
            turns, self._waiting = self._waiting, {}
            self._has_work.clear()
            batches = {turn.id: (len(turn.events), turn.events[turn.journalled :]) for turn in turns.values()}
            refused = set(turns)
            try:
                refused = await self._journal.append(
                    {id_: batch for id_, batch in batches.items() if batch[1]}
                )
            finally:
                for turn_id, turn in turns.items():
                    if turn_id in refused:
                        self._waiting.setdefault(turn_id, turn)
                        self._has_work.set()
                    else:
                        turn.journalled = batches[turn_id][0]
            return refused
