"""Finds turns whose owners have died, and closes them."""

import asyncio
from collections.abc import Container

import anyio
import structlog

from app.errors import HistoryUnavailable
from app.store.faults import is_unreachable
from app.store.lease_index import LeaseIndex
from app.turns.settlement import Settlement

_INTERVAL_SECONDS = 0.5
_LIMIT = 200
_AT_ONCE = 20

_log = structlog.get_logger()


class TurnSweeper:
    """Sweeps apart from everything else: closing many turns takes time, and leases have none to lose."""

    def __init__(
        self, own: Container[str], *, index: LeaseIndex, closer: Settlement, lease_seconds: float
    ) -> None:
        """Begin without Redis having failed.

        Args:
            own: The ids of the turns that run here.
            index: Where lapsed leases are found.
            closer: Closes what has lapsed.
            lease_seconds: After a failure of Redis nobody's turn is closed until it has answered for so long.
        """
        self._own = own
        self._index = index
        self._closer = closer
        self._lease_seconds = lease_seconds
        self._answered_since: float | None = float("-inf")
        self._slots = anyio.CapacityLimiter(_AT_ONCE)

    def may_close(self, turn_id: str) -> bool:
        """Whether the turn's lapsed lease means that its owner is dead.

        It does not where the owner is this process, nor where Redis has been away: then nobody could renew.
        """
        return (
            turn_id not in self._own
            and self._answered_since is not None
            and _now() - self._answered_since >= self._lease_seconds
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
                    self._answered_since = _now()
            await asyncio.sleep(_INTERVAL_SECONDS)

    async def _sweep(self) -> None:
        # Also where nothing may be closed: an answer shows that Redis is there.
        lapsed = await self._index.lapsed(_LIMIT)
        async with asyncio.TaskGroup() as closing:
            for turn_id in lapsed:
                if self.may_close(turn_id):
                    closing.create_task(self._close(turn_id))

    async def _close(self, turn_id: str) -> None:
        """Close one turn; that it cannot be closed keeps no other from it."""
        async with self._slots:
            try:
                await self._closer.close_by_id(turn_id)
            except HistoryUnavailable as error:
                if is_unreachable(error):
                    # The rest of a cluster may be there, and its owner could not renew it all the same.
                    self._answered_since = None
                else:
                    _log.exception("a turn cannot be closed: its keys are damaged", turn_id=turn_id)
            except Exception:  # noqa: BLE001 - what is kept of a turn may have any shape
                _log.exception("a turn cannot be closed by a defect", turn_id=turn_id)


def _now() -> float:
    return asyncio.get_running_loop().time()
