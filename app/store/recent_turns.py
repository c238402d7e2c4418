"""The last part of a conversation, for a prompt: read backwards, and only as far as it is needed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from app.errors import HistoryUnavailable
from app.models import Message

FIRST_BLOCK_BYTES = 64 * 1024
_MOST_BLOCK_BYTES = 256 * 1024
"""Each block is twice as large as the one before it, up to what a batch of commands can bring in time."""


class MessageBlock(NamedTuple):
    """Some messages of a conversation, one after the other."""

    start: int
    """The position of the first of them; 0: nothing is before it."""
    stop: int
    """The position after the last of them. It counts elements that are no messages, too."""
    messages: Sequence[Message]
    size: int
    """How many bytes they take as they are stored."""


class StoredTurn(NamedTuple):
    """A turn with its messages, as they are stored."""

    messages: Sequence[Message]
    stop: int
    """How many messages the conversation has up to the end of this turn."""


class RecentTurns:
    """A conversation's turns, newest first.

    Blocks are read when a turn in them is asked for, and once only, however often the turns are asked for.
    """

    def __init__(
        self,
        read_before: Callable[[int | None, int], Awaitable[MessageBlock]],
        *,
        max_bytes: int,
        until: float | None = None,
        first: MessageBlock | None = None,
    ) -> None:
        """Begin with the newest block, or with none.

        Args:
            read_before: Reads up to so many bytes of messages before a position (None: from the end), one
                message at least.
            max_bytes: How far back to read.
            until: The deadline of all reading, in the event loop's time.
            first: The newest block, if it has been read already.
        """
        self._read_before = read_before
        self._bytes_left = max_bytes
        self._until = until
        self._block_bytes = FIRST_BLOCK_BYTES
        self._turns: list[StoredTurn] = []
        self._split: list[Message] = []
        """The oldest messages so far: the beginning of their turn may be in the next block."""
        self._start: int | None = None
        if first is not None:
            self._add(first)

    @property
    def unread(self) -> int:
        """How many older messages have not been given out."""
        return (self._start or 0) + len(self._split)

    async def read_first(self) -> None:
        """Read the newest block, unless it is there already."""
        if self._start is None:
            await self._read()

    async def newest_first(self) -> AsyncIterator[StoredTurn]:
        """Iterate over the turns.

        Raises:
            HistoryUnavailable: Redis did not do its part in time.
        """
        await self.read_first()
        given = 0
        while True:
            for turn in self._turns[given:]:
                given += 1
                yield turn
            if self._start == 0 or self._bytes_left <= 0:
                return
            await self._read()

    async def _read(self) -> None:
        size = min(self._block_bytes, self._bytes_left)
        try:
            async with asyncio.timeout_at(self._until):
                block = await self._read_before(self._start, size)
        except TimeoutError:
            raise HistoryUnavailable from None
        self._add(block)

    def _add(self, block: MessageBlock) -> None:
        self._bytes_left -= max(block.size, 1)
        self._block_bytes = min(2 * self._block_bytes, _MOST_BLOCK_BYTES)
        stop = block.stop if self._start is None else self._start + len(self._split)
        self._start = block.start
        by_turn = groupby([*block.messages, *self._split], key=lambda message: message.turn_id)
        turns = [list(messages) for _, messages in by_turn]
        self._split = turns.pop(0) if block.start and turns else []
        for messages in reversed(turns):
            self._turns.append(StoredTurn(messages, stop))
            stop -= len(messages)
