"""Windows of models for tests of prompts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from app.llm.context import ContextSizes
from app.llm.deadlines import TimeLimits
from app.llm.endpoint import Endpoint

_LIMITS = TimeLimits(connect=1, first_token=1, token_gap=1, total=1)
Windows = Mapping[int | None, ContextSizes]


@asynccontextmanager
async def open_windows(*sizes: int | None) -> AsyncIterator[Windows]:
    """The windows of models, by their sizes; None: the backend names none."""
    transport = httpx.MockTransport(lambda _: httpx.Response(404))
    async with Endpoint(
        base_url="http://backend.test/v1", api_key="", limits=_LIMITS, transport=transport
    ) as endpoint:
        windows = {size: ContextSizes(endpoint, configured=size) for size in sizes}
        watching = asyncio.create_task(windows[None].watch()) if None in windows else None
        yield windows
        if watching is not None:
            watching.cancel()
