"""Turns of other processes, mirrored here for as long as somebody reads them."""

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
"""Between attempts while Redis is away."""


@dataclass(frozen=True, slots=True)
class _RemoteTurn:
    address: TurnAddress
    turn: TurnStream


class RemoteTurns:
    """Follows all journals that have readers on this process with one command at a time."""

    def __init__(self, journal: TurnJournal, owners: OwnerMailbox) -> None:
        self._journal = journal
        self._owners = owners
        self._mirrors: dict[str, _RemoteTurn] = {}
        self._has_mirrors = asyncio.Event()

    def followed_turns(self) -> list[TurnAddress]:
        """The running turns of other processes that are read here."""
        return [mirror.address for mirror in self._mirrors.values() if mirror.turn.has_readers]

    async def open_reader(self, address: TurnAddress, after: int) -> Reader:
        """Read a turn of another process, or one that has ended.

        Raises:
            TurnExpired: Its events are no longer kept.
            HistoryUnavailable: Redis does not answer.
        """
        if address.turn_id not in self._mirrors:
            journalled = await self._journal.read(address.turn_id)
            if journalled is None:
                raise TurnExpired(turn_id=address.turn_id)
            if address.turn_id not in self._mirrors:
                mirror = _RemoteTurn(address, TurnStream(address.turn_id))
                _update(mirror.turn, journalled)
                if mirror.turn.end is not None:
                    return mirror.turn.open_reader(after)
                self._mirrors[address.turn_id] = mirror
        # Before the loop looks again, which drops what nobody reads.
        reader = self._mirrors[address.turn_id].turn.open_reader(after)
        self._has_mirrors.set()
        return reader

    async def run(self) -> None:
        """Follow until cancelled; after a failure it goes on where it was."""
        await repeat(
            self._follow,
            when_unreachable="readers of other processes' turns wait: Redis is away",
            pause_seconds=_PAUSE_SECONDS,
        )

    async def _follow(self) -> None:
        """Take in what has come, and let go of what nobody reads."""
        await self._has_mirrors.wait()
        if places := {
            turn_id: JournalCursor(len(mirror.turn.events), mirror.turn.is_committed)
            for turn_id, mirror in self._mirrors.items()
        }:
            arrived = await self._journal.tail(places, wait_ms=_WAIT_MS)
            for turn_id, journalled in arrived.items():
                _update(self._mirrors[turn_id].turn, journalled)
            if not arrived:
                for turn_id in await self._journal.missing(list(places)):
                    self._mirrors[turn_id].turn.close(LOST)
        await self._drop_unread()

    async def _drop_unread(self) -> None:
        left = [mirror for mirror in self._mirrors.values() if not mirror.turn.has_readers]
        for mirror in (*left, *(each for each in self._mirrors.values() if each.turn.end is not None)):
            self._mirrors.pop(mirror.address.turn_id, None)
        if not self._mirrors:
            self._has_mirrors.clear()
        # Readers on yet another process say again that they are there, in a moment.
        if gone := [mirror.address for mirror in left if mirror.turn.end is None]:
            await self._owners.mark_readers(gone, seconds=0)


def _update(mirror: TurnStream, journalled: JournalSlice) -> None:
    if journalled.events:
        mirror.publish(journalled.events)
    elif journalled.is_committed and not mirror.is_committed:
        mirror.commit_status()
    if journalled.end is not None:
        mirror.close(journalled.end)
