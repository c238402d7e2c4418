"""Turns of other processes, mirrored here while readers on this process follow them."""

import asyncio
from dataclasses import dataclass

from app.errors import TurnExpired
from app.models import LOST
from app.store.journal import JournalCursor, JournalSlice, TurnJournal
from app.store.owner_mailbox import OwnerMailbox, TurnAddress
from app.turns.background import repeat
from app.turns.stream import Reader, TurnStream

_WAIT_MS = 200
_PAUSE_SECONDS = 0.2
"""The pause between attempts while Redis is unreachable."""


@dataclass(frozen=True, slots=True)
class _RemoteTurn:
    address: TurnAddress
    stream: TurnStream


class RemoteTurns:
    """Follows all journals that have readers on this process, with one command at a time."""

    def __init__(self, journal: TurnJournal, owners: OwnerMailbox) -> None:
        self._journal = journal
        self._owners = owners
        self._turns: dict[str, _RemoteTurn] = {}
        self._has_turns = asyncio.Event()

    def followed_turns(self) -> list[TurnAddress]:
        """Return the running turns of other processes that have readers here."""
        return [turn.address for turn in self._turns.values() if turn.stream.has_readers]

    async def open_reader(self, address: TurnAddress, after: int) -> Reader:
        """Open a reader on a turn of another process, or on one that has ended.

        Raises:
            TurnExpired: The turn's events are no longer kept.
            HistoryUnavailable: Redis is unreachable.
        """
        if address.turn_id not in self._turns:
            journalled = await self._journal.read(address.turn_id)
            if journalled is None:
                raise TurnExpired(turn_id=address.turn_id)
            if address.turn_id not in self._turns:  # another reader may have come while this one waited
                turn = _RemoteTurn(address, TurnStream(address.turn_id, address.user_id))
                _apply(journalled, turn.stream)
                if turn.stream.end is not None:
                    return turn.stream.open_reader(after)
                self._turns[address.turn_id] = turn
        # Without an await in between: the loop drops turns that have no reader.
        reader = self._turns[address.turn_id].stream.open_reader(after)
        self._has_turns.set()
        return reader

    async def run(self) -> None:
        """Follow until cancelled. After a failure of Redis, continue at the last event received."""
        await repeat(self._follow, failure="remote turns not followed", pause_seconds=_PAUSE_SECONDS)

    async def _follow(self) -> None:
        """Publish what has arrived, and drop turns that have no reader."""
        await self._has_turns.wait()
        if cursors := {
            turn_id: JournalCursor(len(turn.stream.events), turn.stream.is_committed)
            for turn_id, turn in self._turns.items()
        }:
            arrived = await self._journal.tail(cursors, wait_ms=_WAIT_MS)
            for turn_id, journalled in arrived.items():
                _apply(journalled, self._turns[turn_id].stream)
            if not arrived:
                for turn_id in await self._journal.missing(list(cursors)):
                    self._turns[turn_id].stream.close(LOST)
        await self._drop_unread()

    async def _drop_unread(self) -> None:
        unread = [turn for turn in self._turns.values() if not turn.stream.has_readers]
        ended = [turn for turn in self._turns.values() if turn.stream.end is not None]
        for turn in (*unread, *ended):
            self._turns.pop(turn.address.turn_id, None)
        if not self._turns:
            self._has_turns.clear()
        # If a third process has readers too, it renews its mark in a moment.
        if gone := [turn.address for turn in unread if turn.stream.end is None]:
            await self._owners.mark_readers(gone, seconds=0)


def _apply(journalled: JournalSlice, stream: TurnStream) -> None:
    """Bring a mirrored stream up to date."""
    if journalled.events:
        stream.publish(journalled.events)
    elif journalled.is_committed and not stream.is_committed:
        stream.commit_status()
    if journalled.end is not None:
        stream.close(journalled.end)
