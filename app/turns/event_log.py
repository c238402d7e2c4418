"""The events of a turn in memory: the last ones as they came, those before them packed."""

from app.store.codec import pack, unpack

_BLOCK = 16


class EventLog:
    """Events in order, numbered from 1. A long answer takes a tenth of what its events would."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []
        self._recent: list[bytes] = []

    def __len__(self) -> int:
        return len(self._blocks) * _BLOCK + len(self._recent)

    def extend(self, events: list[bytes]) -> None:
        """Add events."""
        self._recent += events
        # A block stays for the readers who keep up.
        while len(self._recent) >= 2 * _BLOCK:
            self._blocks.append(pack(self._recent[:_BLOCK]))
            del self._recent[:_BLOCK]

    def after(self, number: int) -> list[bytes]:
        """The next events after the one of this number, a block or two; none: there is no other."""
        recent_from = len(self._blocks) * _BLOCK
        if number >= recent_from:
            return self._recent[number - recent_from :]
        block, place = divmod(number, _BLOCK)
        return unpack(self._blocks[block])[place:]

    def all_after(self, number: int) -> list[bytes]:
        """All events after the one of this number."""
        events: list[bytes] = []
        while more := self.after(number + len(events)):
            events += more
        return events
