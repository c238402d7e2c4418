"""Redis's failures as the one error that the service knows of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import RedisError

from app.errors import HistoryUnavailable
from app.store.connection import AWAY_ERRORS

_REQUEST_SECONDS = 2.5


@asynccontextmanager
async def translated_redis_errors() -> AsyncIterator[None]:
    """Raise HistoryUnavailable for whatever Redis, or the way to it, does wrong."""
    try:
        yield
    except (RedisError, *AWAY_ERRORS) as error:
        raise HistoryUnavailable from error


@asynccontextmanager
async def request_deadline() -> AsyncIterator[None]:
    """One deadline for all that a request does in Redis before it is answered."""
    try:
        async with asyncio.timeout(_REQUEST_SECONDS):
            yield
    except TimeoutError:
        raise HistoryUnavailable from None


def is_unreachable(error: HistoryUnavailable) -> bool:
    """Whether Redis did not answer; else it did, and refused."""
    return isinstance(error.__cause__, AWAY_ERRORS)
