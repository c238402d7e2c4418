"""How far back a conversation is read for a prompt."""

import asyncio

import pytest

from app.errors import HistoryUnavailable
from app.models import AssistantMessage, Message, UserMessage
from app.store.recent_turns import MessageBlock, RecentTurns
from tests.store.turns import turn_messages


def stored(count: int) -> list[Message]:
    return [message for n in range(count) for message in turn_messages(f"t{n}")]


class Reads:
    """Reads a conversation in blocks of so many messages, and counts the blocks."""

    def __init__(self, messages: list[Message], *, block: int) -> None:
        self._messages = messages
        self._block = block
        self.count = 0

    async def __call__(self, position: int | None, max_bytes: int) -> MessageBlock:
        self.count += 1
        stop = len(self._messages) if position is None else position
        start = max(0, stop - self._block)
        return MessageBlock(start, stop, self._messages[start:stop], min(100, max_bytes))


async def ids(turns: RecentTurns, *, most: int = 1000) -> list[tuple[str, int, int]]:
    """Take some turns: each one's id, how many messages it has, and where it ends."""
    found = []
    async for turn in turns.newest_first():
        found.append((turn.messages[0].turn_id, len(turn.messages), turn.stop))
        if len(found) == most:
            break
    return found


async def test_only_the_blocks_that_are_asked_for_are_read_and_each_one_once() -> None:
    reads = Reads(stored(10), block=4)
    turns = RecentTurns(reads, max_bytes=10_000)
    assert await ids(turns, most=2) == [("t9", 2, 20), ("t8", 2, 18)]
    assert reads.count == 2  # the second one tells whether the turn began in the first one
    assert len(await ids(turns)) == 10
    assert await ids(turns) == [(f"t{n}", 2, 2 * n + 2) for n in reversed(range(10))]
    assert (reads.count, turns.unread) == (5, 0)


async def test_a_turn_that_two_blocks_share_is_whole() -> None:
    turns = RecentTurns(Reads(stored(10), block=3), max_bytes=10_000)
    assert await ids(turns) == [(f"t{n}", 2, 2 * n + 2) for n in reversed(range(10))]


async def test_reading_ends_where_the_bytes_do_and_the_rest_is_counted() -> None:
    reads = Reads(stored(10), block=5)
    turns = RecentTurns(reads, max_bytes=150)
    assert [turn_id for turn_id, *_ in await ids(turns)] == ["t9", "t8", "t7", "t6"]
    assert (reads.count, turns.unread) == (2, 12)  # t5 may have begun before what was read


async def test_a_handed_in_block_is_the_newest_one() -> None:
    messages = stored(3)
    reads = Reads(messages, block=2)
    turns = RecentTurns(reads, max_bytes=1000, first=MessageBlock(2, 6, messages[2:], 100))
    assert await ids(turns) == [("t2", 2, 6), ("t1", 2, 4), ("t0", 2, 2)]
    assert reads.count == 1


async def test_a_first_block_that_was_read_before_counts_as_read() -> None:
    messages = stored(3)
    reads = Reads(messages, block=2)
    turns = RecentTurns(reads, max_bytes=100, first=MessageBlock(2, 6, messages[2:], 100))
    assert [turn_id for turn_id, *_ in await ids(turns)] == ["t2"]
    assert (reads.count, turns.unread) == (0, 4)


async def test_all_reading_has_one_deadline() -> None:
    async def never(_position: int | None, _max_bytes: int) -> MessageBlock:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    turns = RecentTurns(never, max_bytes=1000, until=asyncio.get_running_loop().time() + 0.01)
    with pytest.raises(HistoryUnavailable):
        await turns.read_first()


async def test_halves_of_turns_are_given_as_they_are() -> None:
    question = UserMessage("Hi", "a", "")
    answer = AssistantMessage("Hello", "b", "", "complete", "m")
    turns = RecentTurns(Reads([question, answer], block=1), max_bytes=1000)
    assert [turn_id for turn_id, *_ in await ids(turns)] == ["b", "a"]


async def test_an_empty_conversation_has_no_turns() -> None:
    reads = Reads([], block=1)
    turns = RecentTurns(reads, max_bytes=1000)
    assert (await ids(turns), turns.unread, reads.count) == ([], 0, 1)
