"""Turns of other processes, mirrored here for as long as somebody reads them."""

import asyncio
from dataclasses import dataclass

import structlog

from app.errors import HistoryUnavailable, TurnExpired
from app.store.journal import Journalled, TurnJournal, cursor
from app.store.running import TurnAddress
from app.turns.turn import Reader, Turn

_BLOCK_MS = 200
_PAUSE_SECONDS = 0.2
"""Between attempts while Redis is away."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Mirror:
    address: TurnAddress
    turn: Turn


class JournalTail:
    """Follows all journals that have readers on this process with one command at a time."""

    def __init__(self, journal: TurnJournal) -> None:
        self._journal = journal
        self._mirrors: dict[str, _Mirror] = {}
        self._has_mirrors = asyncio.Event()

    def read_turns(self) -> list[TurnAddress]:
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
                mirror = _Mirror(address, Turn(address.turn_id))
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
        is_away = False
        while True:
            self._drop_unread()
            await self._has_mirrors.wait()
            cursors = {
                turn_id: cursor(len(mirror.turn.events), has_begun=mirror.turn.has_begun)
                for turn_id, mirror in self._mirrors.items()
            }
            try:
                arrived = await self._journal.tail(cursors, block_ms=_BLOCK_MS)
                is_away = False
            except HistoryUnavailable:
                if not is_away:
                    _log.warning("readers of other processes' turns wait: Redis is away")
                is_away = True
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            for turn_id, journalled in arrived.items():
                _update(self._mirrors[turn_id].turn, journalled)

    def _drop_unread(self) -> None:
        for turn_id, mirror in list(self._mirrors.items()):
            if not mirror.turn.has_readers or mirror.turn.end is not None:
                del self._mirrors[turn_id]
        if not self._mirrors:
            self._has_mirrors.clear()


def _update(mirror: Turn, journalled: Journalled) -> None:
    if journalled.events:
        mirror.publish(journalled.events)
    elif journalled.has_begun and not mirror.has_begun:
        mirror.begin()
    if journalled.end is not None:
        mirror.close(journalled.end)
