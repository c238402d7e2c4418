"""The process's connections to Redis: to one server, to a master behind sentinels, or to a cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import FullJitterBackoff, NoBackoff

from app.redis_url import parse_redis_url
from app.store.batching import BatchingRedis
from app.store.cluster import ClusterClient
from app.store.faults import CONNECTION_ERRORS
from app.store.sentinel import MasterPool

RedisClient = Redis | ClusterClient

_POOL_TIMEOUT_SECONDS = 2.0
_MAX_CONNECTIONS = 100
_TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
"""In seconds."""
_BATCHES = {"socket_timeout": None, "max_connections": 2}
"""A batch has one deadline instead of a time-out for each reply."""


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisClient]:
    """Open a client whose commands each end within about three seconds, whatever the server does.

    With redis-py's defaults a frozen server blocks a command for most of a minute, and a full pool raises
    instead of waiting. The one retry may repeat a command whose reply was lost, so all commands must be
    idempotent.

    Raises:
        ValueError: The URL is not one of Redis.
    """
    redis = parse_redis_url(url)
    options = {"max_connections": _MAX_CONNECTIONS, "retry": _retry(), **_TIMEOUTS, **redis.options}
    match redis.kind:
        case "server":
            pool = BlockingConnectionPool(timeout=_POOL_TIMEOUT_SECONDS, **options)
            batches = BlockingConnectionPool(timeout=_POOL_TIMEOUT_SECONDS, **{**options, **_BATCHES})
            async with BatchingRedis(pool, batches=batches) as client:
                yield client
        case "sentinel":
            # No retry: asking the next sentinel is faster.
            patience = {"retry": Retry(NoBackoff(), 0), **_TIMEOUTS}
            async with Sentinel(  # type: ignore[no-untyped-call]
                redis.hosts, sentinel_kwargs={**patience, **redis.sentinel_options}
            ) as sentinel:
                pool = MasterPool(redis.master, sentinel, timeout=_POOL_TIMEOUT_SECONDS, **options)
                batches = MasterPool(
                    redis.master, sentinel, timeout=_POOL_TIMEOUT_SECONDS, **{**options, **_BATCHES}
                )
                async with BatchingRedis(pool, batches=batches) as client:
                    yield client
        case "cluster":
            async with ClusterClient(redis.hosts, pool_timeout=_POOL_TIMEOUT_SECONDS, **options) as client:
                yield client


def _retry() -> Retry:
    return Retry(
        FullJitterBackoff(cap=0.1, base=0.02),
        1,
        supported_errors=CONNECTION_ERRORS,  # type: ignore[arg-type]  # typed too narrowly
    )
