"""Turns by id, on whichever process they run: to follow, and to stop."""

import asyncio

from app.errors import HistoryUnavailable, TurnExpired, TurnNotFound
from app.models import TurnRecord, TurnStatus, Viewer
from app.observability.metrics import Metrics
from app.store.faults import request_deadline
from app.store.journal import JournalRecord, TurnJournal
from app.store.owner_mailbox import OwnerMailbox, TurnAddress
from app.turns.generation import LAST_STORE_SECONDS
from app.turns.lease_renewal import READER_MARK_SECONDS, STOPS
from app.turns.local_turns import LocalTurns
from app.turns.remote_turns import RemoteTurns
from app.turns.stream import Reader, TurnStream


class TurnDirectory:
    """Finds turns by id, and lets their users alone follow and stop them."""

    def __init__(
        self,
        turns: LocalTurns,
        *,
        journal: TurnJournal,
        owners: OwnerMailbox,
        remote: RemoteTurns,
        metrics: Metrics,
        lease_seconds: float,
    ) -> None:
        """Look turns up here first, then in Redis.

        Args:
            turns: The turns that this process runs.
            journal: The records of all turns.
            owners: Reaches the owners of remote turns.
            remote: Follows the journals of remote turns.
            metrics: Counts readers, apart by whether the turn runs here.
            lease_seconds: How soon another process closes the turn of a process that died.
        """
        self._turns = turns
        self._journal = journal
        self._owners = owners
        self._remote = remote
        self._metrics = metrics
        self._lease_seconds = lease_seconds

    async def follow(self, turn_id: str, after: int = 0, *, viewer: Viewer | None = None) -> Reader:
        """Open a reader after the event with this number, on a running turn or one that ended lately.

        Raises:
            TurnNotFound: The turn is unknown, or not the viewer's own; None checks nothing.
            TurnExpired: The turn's events are no longer kept.
            InvalidLastEventId: The turn was complete, or stopped, before it came to that event.
        """
        if (generation := self._turns.get(turn_id)) is not None:
            _require_own(turn_id, generation.record, viewer)
            reader = generation.stream.open_reader(after)
            self._metrics.follows.labels("here").inc()
        else:
            async with request_deadline():
                record = await self._journal.record(turn_id)
                if record is None:
                    raise TurnNotFound(turn_id=turn_id)
                _require_own(turn_id, record, viewer)
                address = TurnAddress(record.user_id, record.conversation_id, turn_id)
                if record.status is None:
                    await self._owners.mark_readers([address], seconds=READER_MARK_SECONDS)
                try:
                    reader = await self._remote.open_reader(address, after)
                except TurnExpired:
                    raise _expired(turn_id, record.status) from None
            self._metrics.follows.labels("elsewhere" if record.status is None else "ended").inc()
        reader.resume_after(after)
        return reader

    def followed_turns(self) -> list[TurnAddress]:
        """Return the running turns of other processes that have readers here."""
        return self._remote.followed_turns()

    async def stop(self, turn_id: str, *, viewer: Viewer | None = None) -> TurnStatus:
        """Stop a turn and wait until it has ended. A turn that has ended stays as it is.

        Raises:
            TurnNotFound: The turn is unknown, or not the viewer's own; None checks nothing.
            HistoryUnavailable: It is not known whether the turn has stopped.
        """
        if (generation := self._turns.get(turn_id)) is not None:
            _require_own(turn_id, generation.record, viewer)
            generation.interrupt(STOPS["stopped"])
            return await _status(generation.stream, LAST_STORE_SECONDS)
        async with request_deadline():
            record = await self._journal.record(turn_id)
            if record is None:
                raise TurnNotFound(turn_id=turn_id)
            _require_own(turn_id, record, viewer)
            if record.status is not None:
                return record.status
            address = TurnAddress(record.user_id, record.conversation_id, turn_id)
            await self._owners.stop(address, "stopped")
            reader = await self._remote.open_reader(address, 0)
        with reader:
            return await _status(reader.stream, self._lease_seconds + LAST_STORE_SECONDS)


async def _status(stream: TurnStream, seconds: float) -> TurnStatus:
    try:
        async with asyncio.timeout(seconds):
            return (await stream.ended()).status
    except TimeoutError:
        raise HistoryUnavailable from None


def _require_own(turn_id: str, record: TurnRecord | JournalRecord, viewer: Viewer | None) -> None:
    """Treat a turn that is not the viewer's own as unknown, so that nothing reveals that it exists."""
    if viewer is not None and not viewer.may_see(record.user_id, record.scope):
        raise TurnNotFound(turn_id=turn_id)


def _expired(turn_id: str, status: TurnStatus | None) -> TurnExpired:
    return TurnExpired(
        f"The turn has ended with status {status}, and its events are no longer kept.", turn_id=turn_id
    )
