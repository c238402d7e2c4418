"""Messages to the owners of running turns: another process reads a turn, or asks to stop it."""

import secrets
from collections.abc import AsyncGenerator, Sequence
from typing import Literal, NamedTuple

from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.script import Script, together


class TurnAddress(NamedTuple):
    """The parts of a running turn's key, and its id."""

    user_id: str
    conversation_id: str
    turn_id: str


class OwnerMailbox:
    """Sends messages to the owners of turns, and receives those for this process.

    Every method raises HistoryUnavailable if Redis does not do its part in time.

    Attributes:
        own_id: The id of this process as an owner.
    """

    def __init__(self, redis: RedisClient) -> None:
        """Use a client that returns bytes. Its opener closes it."""
        self.own_id = secrets.token_hex(8)
        self._redis = redis
        self._mark_reader = Script(redis, "mark_reader")
        self._stop = Script(redis, "stop_turn")

    async def mark_readers(self, turns: Sequence[TurnAddress], *, seconds: float) -> None:
        """Tell the owners of these turns that readers are here, for this long."""
        async with translated_redis_errors():
            await together(
                [
                    self._mark_reader(
                        keys=[keys.running(turn.user_id, turn.conversation_id)],
                        args=[turn.turn_id, int(seconds * 1000), keys.OWNER_CHANNELS],
                    )
                    for turn in turns
                ]
            )

    async def stop(self, turn: TurnAddress, reason: Literal["stopped", "interrupted"]) -> None:
        """Ask the turn's owner to stop it. The first request gives the reason."""
        async with translated_redis_errors():
            await self._stop(
                keys=[keys.running(turn.user_id, turn.conversation_id)],
                args=[turn.turn_id, reason, keys.OWNER_CHANNELS],
            )

    async def notices(self) -> AsyncGenerator[str, None]:
        """Yield the ids of this process's turns that have a message. A renewal of the lease reads it.

        A notice may be lost: the next renewal finds the message anyway.
        """
        async with translated_redis_errors(), self._redis.pubsub(ignore_subscribe_messages=True) as channel:
            await self._redis.initialize()  # a cluster's node can be chosen only when its layout is known
            await channel.subscribe(f"{keys.OWNER_CHANNELS}{self.own_id}")
            async for message in channel.listen():
                yield message["data"].decode()
