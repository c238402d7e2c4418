"""What the owners of running turns are told by others: that somebody reads a turn, or wants it to stop."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from typing import Literal, NamedTuple

from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.script import Call, Script


class TurnAddress(NamedTuple):
    """Where a running turn is found."""

    user_id: str
    conversation_id: str
    turn_id: str


class OwnerMailbox:
    """Reaches the owners of turns, and hears what this process is told as one.

    Every method raises HistoryUnavailable where Redis does not do its part in time.
    """

    def __init__(self, redis: RedisClient) -> None:
        """Use a client that somebody else closes; its answers are bytes."""
        self.own_id = secrets.token_hex(8)
        """Of this process."""
        self._redis = redis
        self._mark_reader = Script(redis, "mark_reader")
        self._stop = Script(redis, "stop_turn")

    async def mark_readers(self, turns: Sequence[TurnAddress], *, seconds: float) -> None:
        """Tell the owners of turns that readers are here, for this long."""
        async with translated_redis_errors():
            await self._mark_reader.call_all(
                [
                    Call(
                        [keys.running(turn.user_id, turn.conversation_id)],
                        [turn.turn_id, int(seconds * 1000), keys.OWNER_CHANNELS],
                    )
                    for turn in turns
                ]
            )

    async def stop(self, turn: TurnAddress, reason: Literal["stopped", "interrupted"]) -> None:
        """Ask the turn's owner to stop it; the first to ask says what for."""
        async with translated_redis_errors():
            await self._stop(
                keys=[keys.running(turn.user_id, turn.conversation_id)],
                args=[turn.turn_id, reason, keys.OWNER_CHANNELS],
            )

    async def notices(self) -> AsyncGenerator[str, None]:
        """The ids of this process's turns of which others ask something now; a renewal tells what.

        A notice may be lost: whatever it was for is found by the next renewal.
        """
        async with translated_redis_errors(), self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await self._redis.initialize()  # of a cluster a node can only be chosen when its layout is known
            await channel.subscribe(f"{keys.OWNER_CHANNELS}{self.own_id}")
            async for message in channel.listen():
                yield message["data"].decode()
