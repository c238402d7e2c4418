"""Connections to the server that the sentinels call the master."""

import asyncio
import math
from contextlib import suppress
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_ANSWER_SECONDS = 2.0
_ASK_AGAIN_SECONDS = 0.5
_AFTER_SILENCE_SECONDS = 5.0


class MasterPool(SentinelConnectionPool, BlockingConnectionPool):
    """A pool that waits for a free connection and drops those to a master that has been replaced.

    A replaced master accepts writes for some seconds more, and loses them when it becomes a replica.
    """

    def __init__(self, name: str, sentinel: Sentinel, **options: Any) -> None:
        """Remember the sentinels; connect to no server yet.

        Args:
            name: The name of the master.
            sentinel: The client of the sentinels; the caller closes it.
            options: Options of redis-py's blocking pool.
        """
        super().__init__(name, sentinel, **options)  # type: ignore[no-untyped-call]
        self._ask_at = -math.inf

    async def get_master_address(self) -> tuple[str, int]:
        """Ask the sentinels for the master.

        Raises:
            RedisConnectionError, RedisTimeoutError: No sentinel knows it, or none answers in time.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                address: tuple[str, int] = await super().get_master_address()  # type: ignore[no-untyped-call]
        except TimeoutError:
            raise RedisTimeoutError("no sentinel answers") from None
        return address

    async def ensure_connection(self, connection: Any) -> None:
        """Reconnect a connection that does not lead to the present master."""
        now = asyncio.get_running_loop().time()
        if now >= self._ask_at:
            # While no sentinel answers, the last known master stays in use.
            self._ask_at = now + _AFTER_SILENCE_SECONDS
            with suppress(RedisConnectionError, RedisTimeoutError):
                await self.get_master_address()
                self._ask_at = now + _ASK_AGAIN_SECONDS
        if (connection.host, connection.port) != self.master_address:
            await connection.disconnect()
        await super().ensure_connection(connection)
