"""Finds turns whose owners have died, and settles them."""

import asyncio
from collections.abc import Container

import anyio
import structlog

from app.clock import now
from app.errors import HistoryUnavailable
from app.store.faults import is_unreachable
from app.store.lease_index import LeaseIndex
from app.turns.settlement import Settlement

_INTERVAL_SECONDS = 0.5
_LIMIT = 200
_CONCURRENCY = 20

_log = structlog.get_logger()


class TurnSweeper:
    """Sweeps in a loop of its own: settling takes time, and lease renewals must not wait for it."""

    def __init__(
        self, local: Container[str], *, index: LeaseIndex, settlement: Settlement, lease_seconds: float
    ) -> None:
        """Assume that Redis has been reachable so far.

        Args:
            local: The ids of the turns that this process runs.
            index: Finds expired leases.
            settlement: Ends the turns.
            lease_seconds: After a failure of Redis, no turn is settled until Redis has answered for so long.
        """
        self._local = local
        self._index = index
        self._settlement = settlement
        self._lease_seconds = lease_seconds
        self._answered_since: float | None = float("-inf")
        self._slots = anyio.CapacityLimiter(_CONCURRENCY)

    def may_settle(self, turn_id: str) -> bool:
        """Tell whether an expired lease means that the turn's owner is dead.

        It does not if the owner is this process, or if Redis was unreachable: then no owner could renew.
        """
        return (
            turn_id not in self._local
            and self._answered_since is not None
            and now() - self._answered_since >= self._lease_seconds
        )

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self._sweep()
            except HistoryUnavailable:
                self._answered_since = None
            else:
                if self._answered_since is None:
                    self._answered_since = now()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def _sweep(self) -> None:
        # Ask also while nothing may be settled: an answer proves that Redis is reachable.
        lapsed = await self._index.lapsed(_LIMIT)
        async with asyncio.TaskGroup() as settling:
            for turn_id in lapsed:
                if self.may_settle(turn_id):
                    settling.create_task(self._settle(turn_id))

    async def _settle(self, turn_id: str) -> None:
        """Settle one turn. If this fails, the remaining turns are settled nevertheless."""
        async with self._slots:
            try:
                await self._settlement.settle_lapsed_by_id(turn_id)
            except HistoryUnavailable as error:
                if is_unreachable(error):
                    # Other nodes of a cluster may be reachable, but the owner could not renew on this one.
                    self._answered_since = None
                else:
                    _log.exception("turn not settled", reason="its keys are damaged", turn_id=turn_id)
            except Exception:  # noqa: BLE001 - what is stored of a turn may have any shape
                _log.exception("turn not settled", reason="defect", turn_id=turn_id)
