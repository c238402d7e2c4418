"""The process's connection pool to Redis."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import FullJitterBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

CONNECTION_ERRORS = (RedisConnectionError, RedisTimeoutError, OSError, RuntimeError)
"""What the way to Redis does wrong. RuntimeError is what uvloop raises on a connection that was reset."""

_SOCKET_TIMEOUT_SECONDS = 1.0
_POOL_TIMEOUT_SECONDS = 2.0
_MAX_CONNECTIONS = 100


def open_redis(url: str) -> Redis:
    """A client whose every command ends within about three seconds, whatever Redis does.

    redis-py's defaults stall for most of a minute on a frozen server, and its default pool raises where
    this one waits. The one retry may repeat a command whose reply was lost: only idempotent ones are sent.
    """
    return Redis.from_pool(
        BlockingConnectionPool.from_url(
            url,
            max_connections=_MAX_CONNECTIONS,
            timeout=_POOL_TIMEOUT_SECONDS,
            socket_timeout=_SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=_SOCKET_TIMEOUT_SECONDS,
            retry=Retry(
                FullJitterBackoff(cap=0.1, base=0.02),
                1,
                supported_errors=CONNECTION_ERRORS,  # type: ignore[arg-type]  # typed too narrowly
            ),
        )
    )
