"""A look into the store, and ways to freeze and to restart it."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from app.embedded.store import embedded_store
from app.store import keys
from app.store.connection import RedisClient


async def kept(redis: RedisClient, user: str, conversation: str = "default") -> list[dict[str, Any]]:
    """A conversation's messages as they stand in their list."""
    elements = await redis.lrange(f"chat:{{{user}}}:messages:{conversation}", 0, -1)
    return [json.loads(element) for element in elements]


async def running_turns(redis: RedisClient) -> set[str]:
    """The ids of the turns that are looked after, in all shards."""
    found: list[Any] = [await redis.zrange(keys.running_turns(shard), 0, -1) for shard in keys.SHARDS]
    return {turn_id.decode() for turn_ids in found for turn_id in turn_ids}


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


@contextmanager
def protected_store(data_dir: Path, password: str) -> Iterator[str]:
    """A store that wants a password, which is in its URL."""
    with embedded_store(data_dir) as url, BlockingRedis.from_url(url) as redis:
        redis.config_set("requirepass", password)
        yield url.replace("redis://", f"redis://:{password}@")


class Store:
    """A Valkey that can be killed and started again on the same data, on another port."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._running = ExitStack()
        self.url = ""
        self.ports: list[int] = []
        """All that it has had."""

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.ports[-1]

    def start(self) -> None:
        """Start on what is there."""
        self.url = self._running.enter_context(embedded_store(self._data_dir))
        port = urlsplit(self.url).port
        assert port is not None  # the embedded store's URL has one
        self.ports.append(port)

    def stop(self) -> None:
        """Stop it as a person would."""
        self._running.close()

    async def kill(self) -> None:
        """Kill it, as a machine's memory killer would."""
        async with Redis.from_url(self.url) as redis:
            pid = (await redis.info("server"))["process_id"]
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.stop)


@contextmanager
def running_store(data_dir: Path) -> Iterator[Store]:
    """A store of one's own."""
    store = Store(data_dir)
    store.start()
    try:
        yield store
    finally:
        store.stop()
