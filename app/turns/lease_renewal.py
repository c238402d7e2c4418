"""Keeps running turns: their leases, the grace of those that nobody reads, the turns of dead processes."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress

import structlog

from app.errors import HistoryUnavailable, Interrupted
from app.models import LOST, TurnEnd
from app.store.leases import Lease, TurnLeases
from app.store.owner_mailbox import OwnerMailbox
from app.turns.background import repeat
from app.turns.generation import Generation
from app.turns.remote_turns import RemoteTurns

_TICK_SECONDS = 0.5
_MAX_RENEWAL_SECONDS = 2.0
_RENEWALS_A_LEASE = 7.5
READER_MARK_SECONDS = 3.0

_log = structlog.get_logger()

STOPS: Mapping[str, TurnEnd] = {
    "stopped": TurnEnd("stopped"),
    "interrupted": TurnEnd.from_error(Interrupted(), "interrupted"),
}
"""How a turn ends that was asked to stop, by what for."""


class LeaseRenewer:
    """One loop for all running turns of the process, however many there are."""

    def __init__(
        self,
        generations: Mapping[str, Generation],
        *,
        running: TurnLeases,
        owners: OwnerMailbox,
        tail: RemoteTurns,
        grace_seconds: float,
        lease_seconds: float,
    ) -> None:
        """Begin with nothing to keep.

        Args:
            generations: The running ones by turn id, as they come and go.
            running: Where leases are.
            owners: Where the owners of others' turns are told who reads here, and this process what they ask.
            tail: Which turns of others are read here.
            grace_seconds: A turn that nobody has read for so long is interrupted.
            lease_seconds: Without a renewal for so long a turn is closed by another process.
        """
        self._generations = generations
        self._running = running
        self._owners = owners
        self._tail = tail
        self._grace_seconds = grace_seconds
        self._renewal_seconds = min(_MAX_RENEWAL_SECONDS, lease_seconds / _RENEWALS_A_LEASE)
        self._is_unreachable = False
        self._due: set[str] = set()
        self._is_due = asyncio.Event()

    def renew_soon(self, turn_id: str) -> None:
        """Somebody has come, gone or asked for something: it is told to others, or heeded, at once."""
        self._due.add(turn_id)
        self._is_due.set()

    async def run(self) -> None:
        """Keep until cancelled."""
        next_tick = next_renewal = _now()
        while True:
            await self._wait_until(next_tick)
            touched, self._due = self._due, set()
            is_tick, is_renewal = _now() >= next_tick, _now() >= next_renewal
            turn_ids = (
                set(self._generations)
                if is_renewal
                else touched.union(self._unread_too_long(), self._new() if is_tick else ())
            )
            try:
                await self._renew(turn_ids)
                if is_tick:
                    await self._mark_readers()
                if is_renewal:
                    next_renewal = _now() + self._renewal_seconds
                self._is_unreachable = False
            except HistoryUnavailable:
                if not self._is_unreachable:
                    _log.warning("leases wait: Redis is away")
                self._is_unreachable = True
                next_renewal = _now()
            if is_tick or self._is_unreachable:
                next_tick = _now() + _TICK_SECONDS
            self._interrupt_unread(turn_ids)

    async def listen(self) -> None:
        """Heed what others ask as soon as they do, until cancelled."""
        await repeat(
            self._follow_notices,
            when_unreachable="what others ask is heeded late: Redis is away",
            pause_seconds=_TICK_SECONDS,
        )

    async def _follow_notices(self) -> None:
        async with aclosing(self._owners.notices()) as turn_ids:
            async for turn_id in turn_ids:
                self.renew_soon(turn_id)

    async def _wait_until(self, deadline: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._is_due.wait()
        self._is_due.clear()

    async def _renew(self, turn_ids: Iterable[str]) -> None:
        generations = self._here(turn_ids)
        if not generations:
            return
        leases = await self._running.renew([(each.record, each.turn.has_readers) for each in generations])
        for generation, lease in zip(generations, leases, strict=True):
            _apply(generation, lease)

    def _here(self, turn_ids: Iterable[str]) -> list[Generation]:
        return [self._generations[turn_id] for turn_id in turn_ids if turn_id in self._generations]

    async def _mark_readers(self) -> None:
        if turns := self._tail.followed_turns():
            await self._owners.mark_readers(turns, seconds=READER_MARK_SECONDS)

    def _new(self) -> list[str]:
        """The turns that have only the short lease of their start yet."""
        return [turn_id for turn_id, each in self._generations.items() if not each.is_renewed]

    def _unread_too_long(self) -> list[str]:
        """The turns whose grace is over, as far as is known here."""
        latest = _now() - self._grace_seconds
        return [
            turn_id
            for turn_id, generation in self._generations.items()
            if generation.unread_since is not None and generation.unread_since <= latest
        ]

    def _interrupt_unread(self, turn_ids: Iterable[str]) -> None:
        now = _now()
        for generation in self._here(turn_ids):
            if generation.turn.has_readers or generation.turn.has_remote_readers:
                generation.unread_since = None
            elif generation.unread_since is None:
                generation.unread_since = now
            if generation.unread_since is not None and now - generation.unread_since >= self._grace_seconds:
                generation.interrupt(STOPS["interrupted"])


def _apply(generation: Generation, lease: Lease) -> None:
    if lease.outcome == "held":
        generation.is_renewed = True
        generation.turn.has_remote_readers = lease.has_remote_reader
    match lease.outcome:
        case "held" if lease.stop:
            generation.interrupt(STOPS[lease.stop])
        case "closed" if lease.end is not None:
            generation.on_lease_lost(lease.end)
        case "lost":
            generation.on_lease_lost(LOST)


def _now() -> float:
    return asyncio.get_running_loop().time()
