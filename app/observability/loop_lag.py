"""The lag of the event loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.observability.histogram import LoopHistogram

_INTERVAL_SECONDS = 0.25


@asynccontextmanager
async def measured_loop_lag(lag_seconds: LoopHistogram) -> AsyncIterator[None]:
    """Measure the lag while the context is open."""
    measuring = asyncio.create_task(_measure(lag_seconds), name="loop lag")
    try:
        yield
    finally:
        measuring.cancel()


async def _measure(lag_seconds: LoopHistogram) -> None:
    now = asyncio.get_running_loop().time
    while True:
        due = now() + _INTERVAL_SECONDS
        await asyncio.sleep(_INTERVAL_SECONDS)
        lag_seconds.observe(max(0, now() - due))
