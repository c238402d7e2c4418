"""A look into the store, and a way to freeze it."""

import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis


async def kept(redis: Redis, user: str, conversation: str = "default") -> list[dict[str, Any]]:
    """A conversation's messages as they stand in their list."""
    elements = await redis.lrange(f"chat:{{{user}}}:messages:{conversation}", 0, -1)
    return [json.loads(element) for element in elements]


@asynccontextmanager
async def frozen(url: str) -> AsyncIterator[None]:
    """A store that takes connections and answers nothing."""
    async with Redis.from_url(url) as redis:
        pid = (await redis.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
