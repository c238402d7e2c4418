"""Faults of the store or of the connection to it; after each, the store is as it was before."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from app.store import keys
from tests.faults.lab import USER, Lab
from tests.support.store import frozen as frozen_process

Break = Callable[[Lab], AbstractAsyncContextManager[None]]

_MESSAGES = f"chat:{{{USER}}}:messages:default"
_NO_MESSAGE = "no message"


@asynccontextmanager
async def refused(lab: Lab) -> AsyncIterator[None]:
    lab.store_line.refuse()
    lab.store_line.reset()
    yield
    await lab.store_line.accept()


@asynccontextmanager
async def frozen(lab: Lab) -> AsyncIterator[None]:
    async with frozen_process(lab.store.url):
        yield


@asynccontextmanager
async def mute(lab: Lab) -> AsyncIterator[None]:
    """Execute commands, but let no reply arrive."""
    lab.store_line.freeze(requests=False)
    yield
    lab.store_line.thaw()


@asynccontextmanager
async def cut_off(lab: Lab) -> AsyncIterator[None]:
    """Let the network pass nothing on."""
    lab.store_line.freeze()
    yield
    lab.store_line.thaw()


@asynccontextmanager
async def slow(lab: Lab) -> AsyncIterator[None]:
    usual, lab.store_line.slice_bytes = lab.store_line.slice_bytes, 3
    yield
    lab.store_line.slice_bytes = usual


@asynccontextmanager
async def reset(lab: Lab) -> AsyncIterator[None]:
    lab.store_line.reset()
    yield


@asynccontextmanager
async def closed(lab: Lab) -> AsyncIterator[None]:
    lab.store_line.close()
    yield


@asynccontextmanager
async def killed(lab: Lab) -> AsyncIterator[None]:
    await lab.store.kill()
    yield
    await asyncio.to_thread(lab.store.start)
    lab.store_line.upstream = lab.store.address
    await lab.redis.aclose()
    lab.redis = Redis.from_url(lab.store.url)


@asynccontextmanager
async def restarted(lab: Lab) -> AsyncIterator[None]:
    async with killed(lab):
        pass
    yield


def _configured(**settings: Any) -> Break:
    names = {name.replace("_", "-"): value for name, value in settings.items()}

    @asynccontextmanager
    async def configured(lab: Lab) -> AsyncIterator[None]:
        usual: Any = await lab.redis.config_get(*names)
        for name, value in names.items():
            await lab.redis.config_set(name, value)
        yield
        for name, value in usual.items():
            await lab.redis.config_set(name, value)

    return configured


out_of_memory = _configured(maxmemory=1)
without_replicas = _configured(min_replicas_to_write=1)


@asynccontextmanager
async def read_only(lab: Lab) -> AsyncIterator[None]:
    """Make it the replica of a master that does not exist."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    await lab.redis.replicaof("127.0.0.1", str(port))
    yield
    await lab.redis.replicaof("NO", "ONE")


@asynccontextmanager
async def wrong_password(lab: Lab) -> AsyncIterator[None]:
    async with _configured(requirepass="secret")(lab), reset(lab):
        yield


@asynccontextmanager
async def full(lab: Lab) -> AsyncIterator[None]:
    """Accept no connection besides the existing one."""
    async with _configured(maxclients=1)(lab), reset(lab):
        yield


@asynccontextmanager
async def busy(lab: Lab) -> AsyncIterator[None]:
    """Run a script that does not end."""
    async with _configured(busy_reply_threshold=1)(lab), Redis.from_url(lab.store.url) as other:
        endless = asyncio.create_task(_run_endlessly(other))
        while not await _is_busy(lab.redis):
            await asyncio.sleep(0.001)
        yield
        await lab.redis.script_kill()
        await endless


async def _is_busy(redis: Redis) -> bool:
    try:
        await redis.ping()
    except ResponseError:
        return True
    return False


async def _run_endlessly(redis: Redis) -> None:
    with suppress(RedisError):  # the script is killed
        await redis.eval("while true do end", 0)


@asynccontextmanager
async def wrong_type(lab: Lab) -> AsyncIterator[None]:
    """Put a STRING at the key of the history."""
    await lab.redis.set(_MESSAGES, _NO_MESSAGE)
    yield
    await lab.redis.delete(_MESSAGES)


@asynccontextmanager
async def junk(lab: Lab) -> AsyncIterator[None]:
    """Put an element into the history that is not a message."""
    await lab.redis.rpush(_MESSAGES, _NO_MESSAGE)
    yield
    await lab.redis.lrem(_MESSAGES, 1, _NO_MESSAGE)


@asynccontextmanager
async def scripts_forgotten(lab: Lab) -> AsyncIterator[None]:
    await lab.redis.script_flush()
    yield


@asynccontextmanager
async def emptied(lab: Lab) -> AsyncIterator[None]:
    """Delete all keys of the case's user and turn, as a failover that loses the last writes does."""
    running: Any = await lab.redis.hget(f"chat:{{{USER}}}:running:default", "turn_id")
    turn_id = running.decode()
    turn_keys = (keys.record(turn_id), keys.events(turn_id))
    await lab.redis.delete(*turn_keys, *await lab.keys(f"chat:{{{USER}}}:*"))
    await lab.redis.zrem(keys.running_turns(keys.shard_of(turn_id)), turn_id)
    yield
