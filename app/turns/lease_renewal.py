"""Renews the leases of running turns, and stops turns on request or when their grace is over."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import aclosing, suppress

import structlog

from app.clock import now
from app.errors import HistoryUnavailable, Interrupted
from app.models import LOST, TurnEnd
from app.store.lease_results import Lease
from app.store.leases import TurnLeases
from app.store.owner_mailbox import OwnerMailbox
from app.turns.background import repeat
from app.turns.generation import Generation
from app.turns.local_turns import LocalTurns
from app.turns.remote_turns import RemoteTurns

_TICK_SECONDS = 0.5
_MAX_RENEWAL_SECONDS = 2.0
_RENEWALS_PER_LEASE = 7.5
READER_MARK_SECONDS = 3.0
"""How long a remote reader's mark lasts without a renewal."""

_log = structlog.get_logger()

STOPS: Mapping[str, TurnEnd] = {
    "stopped": TurnEnd("stopped"),
    "interrupted": TurnEnd.from_error(Interrupted(), "interrupted"),
}
"""How a turn ends when it is asked to stop, by the reason that the request gives."""


class LeaseRenewer:
    """Renews the leases of all running turns of this process in one loop, however many there are."""

    def __init__(
        self,
        turns: LocalTurns,
        *,
        leases: TurnLeases,
        owners: OwnerMailbox,
        remote: RemoteTurns,
        grace_seconds: float,
        lease_seconds: float,
    ) -> None:
        """Start with nothing to renew.

        Args:
            turns: The turns that this process runs.
            leases: Their leases in Redis.
            owners: Tells owners of remote turns about readers here; brings requests of other processes.
            remote: The remote turns that have readers here.
            grace_seconds: A turn that has been unread for so long is interrupted.
            lease_seconds: A turn whose lease is not renewed for so long is closed by another process.
        """
        self._turns = turns
        self._leases = leases
        self._owners = owners
        self._remote = remote
        self._grace_seconds = grace_seconds
        self._renewal_seconds = min(_MAX_RENEWAL_SECONDS, lease_seconds / _RENEWALS_PER_LEASE)
        self._is_unreachable = False
        self._due: set[str] = set()
        self._is_due = asyncio.Event()

    def renew_soon(self, turn_id: str) -> None:
        """Renew this turn's lease now: its readers changed, or another process sent a request."""
        self._due.add(turn_id)
        self._is_due.set()

    async def run(self) -> None:
        """Renew until cancelled."""
        next_tick = next_renewal = now()
        while True:
            await self._wait_until(next_tick)
            due, self._due = self._due, set()
            is_tick, is_renewal = now() >= next_tick, now() >= next_renewal
            turn_ids = (
                {generation.record.turn_id for generation in self._turns}
                if is_renewal
                else due.union(self._unread_too_long(), self._new() if is_tick else ())
            )
            try:
                await self._renew(turn_ids)
                if is_tick:
                    await self._mark_readers()
                if is_renewal:
                    next_renewal = now() + self._renewal_seconds
                self._is_unreachable = False
            except HistoryUnavailable:
                if not self._is_unreachable:
                    _log.warning("leases not renewed", reason="Redis is unreachable")
                self._is_unreachable = True
                next_renewal = now()
            if is_tick or self._is_unreachable:
                next_tick = now() + _TICK_SECONDS
            self._interrupt_unread(turn_ids)

    async def listen(self) -> None:
        """Act on requests of other processes as soon as they arrive, until cancelled."""
        await repeat(
            self._follow_notices,
            failure="requests from other processes are handled late",
            pause_seconds=_TICK_SECONDS,
        )

    async def _follow_notices(self) -> None:
        async with aclosing(self._owners.notices()) as turn_ids:
            async for turn_id in turn_ids:
                self.renew_soon(turn_id)

    async def _wait_until(self, deadline: float) -> None:
        """Wait for the deadline, or until a turn is due."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._is_due.wait()
        self._is_due.clear()

    async def _renew(self, turn_ids: Iterable[str]) -> None:
        generations = self._running(turn_ids)
        if not generations:
            return
        leases = await self._leases.renew([(each.record, each.stream.has_readers) for each in generations])
        for generation, lease in zip(generations, leases, strict=True):
            _apply(lease, generation)

    def _running(self, turn_ids: Iterable[str]) -> list[Generation]:
        return [each for turn_id in turn_ids if (each := self._turns.get(turn_id)) is not None]

    async def _mark_readers(self) -> None:
        if followed := self._remote.followed_turns():
            await self._owners.mark_readers(followed, seconds=READER_MARK_SECONDS)

    def _new(self) -> list[str]:
        """Return the turns that still have the short lease of their start."""
        return [each.record.turn_id for each in self._turns if not each.is_renewed]

    def _unread_too_long(self) -> list[str]:
        """Return the turns whose grace is over, as far as this process knows."""
        return [each.record.turn_id for each in self._turns if self._is_grace_over(each)]

    def _interrupt_unread(self, turn_ids: Iterable[str]) -> None:
        for generation in self._running(turn_ids):
            if not generation.stream.is_unread:
                generation.unread_since = None
            elif generation.unread_since is None:
                generation.unread_since = now()
            if self._is_grace_over(generation):
                generation.interrupt(STOPS["interrupted"])

    def _is_grace_over(self, generation: Generation) -> bool:
        grace = self._grace_seconds if generation.grace_seconds is None else generation.grace_seconds
        return generation.unread_since is not None and now() - generation.unread_since >= grace


def _apply(lease: Lease, generation: Generation) -> None:
    """Bring a generation in line with what its renewal found."""
    if lease.outcome == "held":
        generation.is_renewed = True
        generation.stream.has_remote_readers = lease.has_remote_reader
    match lease.outcome:
        case "held" if lease.stop:
            generation.interrupt(STOPS[lease.stop])
        case "closed" if lease.end is not None:
            generation.on_lease_lost(lease.end)
        case "lost":
            generation.on_lease_lost(LOST)
