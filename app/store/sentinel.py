"""The server that sentinels call the master, and no other."""

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
    """Waits for a connection where all are taken, and has none to a master that has been replaced.

    Such a server goes on taking writes for some seconds, and they are gone when it learns what it is.
    """

    def __init__(self, name: str, sentinel: Sentinel, **options: Any) -> None:
        """Connect to nothing yet.

        Args:
            name: The master's.
            sentinel: Asks the sentinels; somebody else closes it.
            options: Of redis-py's blocking pool.
        """
        super().__init__(name, sentinel, **options)  # type: ignore[no-untyped-call]
        self._ask_at = -math.inf

    async def get_master_address(self) -> tuple[str, int]:
        """Ask the sentinels.

        Raises:
            RedisConnectionError, RedisTimeoutError: None of them knows, or answers in time.
        """
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                address: tuple[str, int] = await super().get_master_address()  # type: ignore[no-untyped-call]
        except TimeoutError:
            raise RedisTimeoutError("no sentinel answers") from None
        return address

    async def ensure_connection(self, connection: Any) -> None:
        """See that it is one to the master."""
        now = asyncio.get_running_loop().time()
        if now >= self._ask_at:
            # While no sentinel answers, what is known is good enough.
            self._ask_at = now + _AFTER_SILENCE_SECONDS
            with suppress(RedisConnectionError, RedisTimeoutError):
                await self.get_master_address()
                self._ask_at = now + _ASK_AGAIN_SECONDS
        if (connection.host, connection.port) != self.master_address:
            await connection.disconnect()
        await super().ensure_connection(connection)
