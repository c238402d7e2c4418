"""The process's connections to Redis: to one server, to the one that sentinels name, or to a cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import FullJitterBackoff, NoBackoff
from redis.exceptions import (
    ClusterError,
    MasterDownError,
    ReadOnlyError,
    RedisClusterException,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.redis_url import parse_redis_url
from app.store.cluster import ClusterClient
from app.store.sentinel import MasterPool

CONNECTION_ERRORS = (RedisConnectionError, RedisTimeoutError, OSError, RuntimeError)
"""What the way to Redis does wrong. RuntimeError is what uvloop raises on a connection that was reset."""

FAILOVER_ERRORS = (ReadOnlyError, MasterDownError, TryAgainError, ClusterError, RedisClusterException)
"""What is said while no server has the keys, or another one."""

AWAY_ERRORS = (*CONNECTION_ERRORS, *FAILOVER_ERRORS)
"""What passes by itself: nothing that is kept is wrong."""

RedisClient = Redis | ClusterClient

_POOL_TIMEOUT_SECONDS = 2.0
_MAX_CONNECTIONS = 100
_TIMEOUTS = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}
"""In seconds."""


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisClient]:
    """A client whose every command ends within about three seconds, whatever a server does.

    redis-py's defaults stall for most of a minute on a frozen server, and its default pool raises where
    this one waits. The one retry may repeat a command whose reply was lost: only idempotent ones are sent.

    Raises:
        ValueError: It is no URL of Redis.
    """
    redis = parse_redis_url(url)
    options = {"max_connections": _MAX_CONNECTIONS, "retry": _retry(), **_TIMEOUTS, **redis.options}
    match redis.kind:
        case "server":
            pool = BlockingConnectionPool(timeout=_POOL_TIMEOUT_SECONDS, **options)
            async with Redis.from_pool(pool) as client:
                yield client
        case "sentinel":
            # The next sentinel is asked soon enough without a retry.
            patience = {"retry": Retry(NoBackoff(), 0), **_TIMEOUTS}
            async with Sentinel(  # type: ignore[no-untyped-call]
                redis.hosts, sentinel_kwargs={**patience, **redis.sentinel_options}
            ) as sentinel:
                pool = MasterPool(redis.master, sentinel, timeout=_POOL_TIMEOUT_SECONDS, **options)
                async with Redis.from_pool(pool) as client:
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
