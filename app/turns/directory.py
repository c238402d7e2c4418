"""Turns as others reach them, on whichever process they run: followed, and stopped."""

import asyncio
from collections.abc import Mapping

from app.errors import HistoryUnavailable, InvalidLastEventId, TurnExpired, TurnNotFound
from app.models import TurnRecord, TurnStatus
from app.observability.metrics import Metrics
from app.store.faults import request_deadline
from app.store.journal import JournalRecord, TurnJournal
from app.store.owner_mailbox import OwnerMailbox, TurnAddress
from app.turns.generation import LAST_STORE_SECONDS, Generation
from app.turns.lease_renewal import READER_MARK_SECONDS, STOPS
from app.turns.remote_turns import RemoteTurns
from app.turns.stream import Reader, TurnStream


class TurnDirectory:
    """Lets turns be followed and stopped, by their users alone."""

    def __init__(
        self,
        generations: Mapping[str, Generation],
        *,
        journal: TurnJournal,
        owners: OwnerMailbox,
        tail: RemoteTurns,
        metrics: Metrics,
        lease_seconds: float,
    ) -> None:
        """Reach what there is.

        Args:
            generations: The turns that run here, by their ids, as they come and go.
            journal: What is known of the others.
            owners: Where those who run them are told of readers and stops.
            tail: Where they are followed.
            metrics: Counts readers by where the turn runs.
            lease_seconds: Within which the turn of a dead process is closed.
        """
        self._generations = generations
        self._journal = journal
        self._owners = owners
        self._tail = tail
        self._metrics = metrics
        self._lease_seconds = lease_seconds

    async def follow(self, turn_id: str, after: int = 0, *, only_of: str | None = None) -> Reader:
        """Read a turn from the event after this number, wherever it runs, and for a while after its end.

        Raises:
            TurnNotFound: It is unknown, or another user's than `only_of`.
            TurnExpired: Its events are no longer kept.
            InvalidLastEventId: It was whole, or stopped, before it came to that event.
        """
        if (generation := self._generations.get(turn_id)) is not None:
            _require_owner(turn_id, generation.record, only_of)
            reader = generation.turn.open_reader(after)
            self._metrics.follows.labels("here").inc()
        else:
            async with request_deadline():
                record = await self._journal.record(turn_id)
                if record is None:
                    raise TurnNotFound(turn_id=turn_id)
                _require_owner(turn_id, record, only_of)
                address = TurnAddress(record.user_id, record.conversation_id, turn_id)
                if record.status is None:
                    await self._owners.mark_readers([address], seconds=READER_MARK_SECONDS)
                try:
                    reader = await self._tail.open_reader(address, after)
                except TurnExpired:
                    raise _expired(turn_id, record.status) from None
            self._metrics.follows.labels("elsewhere" if record.status is None else "ended").inc()
        end = reader.turn.end
        if end is not None and end.code is None and after > len(reader.turn.events):
            reader.close()
            raise InvalidLastEventId(turn_id=turn_id)
        return reader

    async def stop(self, turn_id: str, *, only_of: str | None = None) -> TurnStatus:
        """Stop a turn, wherever it runs, and wait until it has ended; one that has ended stays as it is.

        Raises:
            TurnNotFound: It is unknown, or another user's than `only_of`.
            HistoryUnavailable: Whether it has stopped cannot be told.
        """
        if (generation := self._generations.get(turn_id)) is not None:
            _require_owner(turn_id, generation.record, only_of)
            generation.interrupt(STOPS["stopped"])
            return await _status(generation.turn, LAST_STORE_SECONDS)
        async with request_deadline():
            record = await self._journal.record(turn_id)
            if record is None:
                raise TurnNotFound(turn_id=turn_id)
            _require_owner(turn_id, record, only_of)
            if record.status is not None:
                return record.status
            address = TurnAddress(record.user_id, record.conversation_id, turn_id)
            await self._owners.stop(address, "stopped")
            reader = await self._tail.open_reader(address, 0)
        with reader:
            return await _status(reader.turn, self._lease_seconds + LAST_STORE_SECONDS)


async def _status(turn: TurnStream, seconds: float) -> TurnStatus:
    try:
        async with asyncio.timeout(seconds):
            return (await turn.ended()).status
    except TimeoutError:
        raise HistoryUnavailable from None


def _require_owner(turn_id: str, record: TurnRecord | JournalRecord, user_id: str | None) -> None:
    """Another user's turn is as good as none: nothing tells that there is one."""
    if user_id is not None and record.user_id != user_id:
        raise TurnNotFound(turn_id=turn_id)


def _expired(turn_id: str, status: TurnStatus | None) -> TurnExpired:
    return TurnExpired(
        f"The turn has ended with status {status}, and its events are no longer kept.", turn_id=turn_id
    )
