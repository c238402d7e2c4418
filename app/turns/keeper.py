"""Keeps running turns: their leases, the grace of those that nobody reads, the turns of dead processes."""

import asyncio
from collections.abc import Iterable, Mapping

import structlog

from app.errors import HistoryUnavailable, Interrupted
from app.models import LOST, TurnEnd, failed
from app.store.running import Lease, RunningTurns
from app.turns.generation import Generation
from app.turns.tail import JournalTail

_TICK_SECONDS = 0.5
READER_MARK_SECONDS = 3.0

_log = structlog.get_logger()

STOPS: Mapping[str, TurnEnd] = {
    "stopped": TurnEnd("stopped"),
    "interrupted": failed(Interrupted(), "interrupted"),
}
"""How a turn ends that was asked to stop, by what for."""


class TurnKeeper:
    """One loop for all running turns of the process, however many there are."""

    def __init__(
        self,
        generations: Mapping[str, Generation],
        *,
        running: RunningTurns,
        tail: JournalTail,
        grace_seconds: float,
    ) -> None:
        """Begin with nothing to keep.

        Args:
            generations: The running ones by turn id, as they come and go.
            running: Where leases are.
            tail: Which turns of others are read here.
            grace_seconds: A turn that nobody has read for so long is interrupted.
        """
        self._generations = generations
        self._running = running
        self._tail = tail
        self._grace_seconds = grace_seconds
        self._is_away = False
        self._touched: set[str] = set()
        self._was_touched = asyncio.Event()

    def touch(self, turn_id: str) -> None:
        """The turn's first reader has come or its last one gone: others are to know at once."""
        self._touched.add(turn_id)
        self._was_touched.set()

    async def run(self) -> None:
        """Keep until cancelled."""
        next_tick = _now()
        while True:
            try:
                async with asyncio.timeout_at(next_tick):
                    await self._was_touched.wait()
            except TimeoutError:
                pass
            self._was_touched.clear()
            touched, self._touched = self._touched, set()
            is_tick = _now() >= next_tick
            turn_ids = list(self._generations) if is_tick else touched
            try:
                await self._renew(turn_ids)
                if is_tick:
                    await self._mark_readers()
                self._is_away = False
            except HistoryUnavailable:
                if not self._is_away:
                    _log.warning("leases wait: Redis is away")
                self._is_away = True
            if is_tick or self._is_away:
                next_tick = _now() + _TICK_SECONDS
            self._interrupt_unread(turn_ids)

    async def _renew(self, turn_ids: Iterable[str]) -> None:
        generations = self._here(turn_ids)
        if not generations:
            return
        leases = await self._running.renew([(each.record, each.turn.has_readers) for each in generations])
        for generation, lease in zip(generations, leases, strict=True):
            _heed(generation, lease)

    def _here(self, turn_ids: Iterable[str]) -> list[Generation]:
        return [self._generations[turn_id] for turn_id in turn_ids if turn_id in self._generations]

    async def _mark_readers(self) -> None:
        if turns := self._tail.read_turns():
            await self._running.mark_readers(turns, seconds=READER_MARK_SECONDS)

    def _interrupt_unread(self, turn_ids: Iterable[str]) -> None:
        now = _now()
        for generation in self._here(turn_ids):
            if generation.turn.has_readers or generation.has_remote_reader:
                generation.unread_since = None
            elif generation.unread_since is None:
                generation.unread_since = now
            if generation.unread_since is not None and now - generation.unread_since >= self._grace_seconds:
                generation.cut(STOPS["interrupted"])


def _heed(generation: Generation, lease: Lease) -> None:
    generation.has_remote_reader = lease.has_remote_reader
    match lease.outcome:
        case "held" if lease.stop:
            generation.cut(STOPS[lease.stop])
        case "closed" if lease.end is not None:
            generation.lose(lease.end)
        case "lost":
            generation.lose(LOST)


def _now() -> float:
    return asyncio.get_running_loop().time()
