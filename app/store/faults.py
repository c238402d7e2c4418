"""Redis's failures, translated into the one error that the service knows of Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import (
    ClusterError,
    MasterDownError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.clock import now
from app.errors import HistoryUnavailable

CONNECTION_ERRORS = (RedisConnectionError, RedisTimeoutError, OSError, RuntimeError)
"""Failures of a connection. RuntimeError is what uvloop raises on a connection that was reset."""
FAILOVER_ERRORS = (ReadOnlyError, MasterDownError, TryAgainError, ClusterError, RedisClusterException)
"""What servers answer while none of them has the keys, or another one."""
UNREACHABLE_ERRORS = (*CONNECTION_ERRORS, *FAILOVER_ERRORS)
"""What passes by itself: nothing that is stored is wrong."""

_REQUEST_SECONDS = 2.5


@asynccontextmanager
async def translated_redis_errors() -> AsyncIterator[None]:
    """Raise HistoryUnavailable for every failure of Redis or of the connection to it."""
    try:
        yield
    except (RedisError, *UNREACHABLE_ERRORS) as error:
        raise HistoryUnavailable from error


@asynccontextmanager
async def request_deadline() -> AsyncIterator[float]:
    """Set one deadline, in the event loop's time, for all Redis work before a request is answered."""
    until = now() + _REQUEST_SECONDS
    try:
        async with asyncio.timeout_at(until):
            yield until
    except TimeoutError:
        raise HistoryUnavailable from None


def is_unreachable(error: HistoryUnavailable) -> bool:
    """Tell whether Redis did not answer; otherwise it answered with a refusal."""
    return isinstance(error.__cause__, UNREACHABLE_ERRORS)
