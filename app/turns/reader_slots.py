"""How many readers a process serves at once, and how many of them one user may have."""

from collections import Counter
from copy import copy
from types import TracebackType
from typing import Self

from app.errors import Overloaded


class ReaderSlots:
    """Slots that all readers of a process share. No user gets more than a share of them."""

    def __init__(self, *, total: int, per_user: int) -> None:
        self.total = total
        self.per_user = per_user
        self.taken = 0
        self.taken_by: Counter[str] = Counter()


class ReaderSlot:
    """One slot. A request takes it late, when it is known to be a good one."""

    def __init__(self, slots: ReaderSlots) -> None:
        self._slots = slots
        self._is_taken = False
        self._user_id: str | None = None

    def take(self) -> None:
        """Take it.

        Raises:
            Overloaded: All slots are taken.
        """
        if self._slots.taken >= self._slots.total:
            raise Overloaded
        self._slots.taken += 1
        self._is_taken = True

    def assign(self, user_id: str) -> None:
        """Count it to the user whose turn is read.

        Raises:
            Overloaded: The user has its share already.
        """
        if self._slots.taken_by[user_id] >= self._slots.per_user:
            raise Overloaded("The user has as many streams open on this process as are allowed at once.")
        self._slots.taken_by[user_id] += 1
        self._user_id = user_id

    def pass_on(self) -> "ReaderSlot":
        """Move the slot to another holder, which gives it back in place of this one."""
        passed = copy(self)
        self._is_taken = False
        self._user_id = None
        return passed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back, if it was taken."""
        self._slots.taken -= self._is_taken
        if self._user_id is not None:
            self._slots.taken_by[self._user_id] -= 1
            if not self._slots.taken_by[self._user_id]:
                del self._slots.taken_by[self._user_id]  # a counter keeps names whose count is zero
