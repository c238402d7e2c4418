"""The connections to Redis, on the event loop that the service runs on."""

import asyncio
from urllib.parse import urlsplit

import uvloop

from app.store.connection import open_redis
from tests.support.proxy import proxy_to

_RESETS = 20


def test_a_connection_that_was_reset_is_made_anew(valkey_url: str) -> None:
    async def scenario() -> None:
        port = urlsplit(valkey_url).port
        assert port is not None  # the store listens on one
        async with (
            proxy_to(("127.0.0.1", port)) as line,
            open_redis(f"redis://127.0.0.1:{line.port}/0") as redis,
        ):
            for n in range(_RESETS):
                await redis.echo("Hi")
                line.reset()
                # The reset is noticed at one of these moments, or not yet.
                await asyncio.sleep(0.001 * n)

    uvloop.run(scenario())
