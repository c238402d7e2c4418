"""Windows of models for tests of prompts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from app.llm.context import ContextSizes

Windows = Mapping[int | None, ContextSizes]


@asynccontextmanager
async def open_windows(*sizes: int | None) -> AsyncIterator[Windows]:
    """The windows of models, by their sizes; None: the backend names none."""
    transport = httpx.MockTransport(lambda _: httpx.Response(404))
    async with httpx.AsyncClient(base_url="http://backend.test/v1", transport=transport) as http:
        windows = {size: ContextSizes(http, configured=size) for size in sizes}
        watching = asyncio.create_task(windows[None].watch()) if None in windows else None
        yield windows
        if watching is not None:
            watching.cancel()
