"""Conversations for tests of prompts."""

from collections.abc import Sequence

from app.models import Message
from app.store.recent_turns import MessageBlock, RecentTurns


def recent(messages: Sequence[Message]) -> RecentTurns:
    """A conversation that is at hand as a whole."""

    async def read_before(position: int | None, max_bytes: int) -> MessageBlock:
        raise AssertionError(f"nothing is before it: {position}, {max_bytes}")

    return RecentTurns(read_before, max_bytes=2**30, first=MessageBlock(0, len(messages), messages, 1))
