"""The events of a turn in memory: recent ones as they came, older ones compressed."""

from app.store.codec import pack, unpack

_BLOCK = 16
_RECENT = 4
"""How many events at least stay uncompressed, for the readers that keep up."""


class EventLog:
    """Events in order, numbered from 1. Compressed, a long answer takes a tenth of its events' size."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._recent: list[bytes] = []

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._recent)

    def extend(self, events: list[bytes]) -> None:
        """Append events."""
        self._recent += events
        while len(self._recent) >= _BLOCK + _RECENT:
            self._blocks.append(pack(self._recent[:_BLOCK]))
            del self._recent[:_BLOCK]

    def after(self, number: int) -> list[bytes]:
        """Return the next events after this number, some tens at most; empty if there are none."""
        recent_from = len(self._blocks) * _BLOCK
        if number >= recent_from:
            return self._recent[number - recent_from :]
        block, offset = divmod(number, _BLOCK)
        return unpack(self._blocks[block])[offset:]

    def all_after(self, number: int) -> list[bytes]:
        """Return all events after this number."""
        events: list[bytes] = []
        while more := self.after(number + len(events)):
            events += more
        return events
