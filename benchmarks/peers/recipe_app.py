"""The plain recipe, as tutorials have it: FastAPI, httpx, `aiter_lines`, sse-starlette. It stores nothing.

It is written fairly: one client for all requests, without a limit of connections, and no work that a reader
would not miss.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request
from sse_starlette import EventSourceResponse


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(
        base_url=os.environ["LLM_BASE_URL"],
        timeout=httpx.Timeout(300),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=256),
        trust_env=False,
    ) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/v1/chat/completions")
async def complete(request: Request, body: dict[str, Any]) -> EventSourceResponse:
    """Relay the backend's answer, line by line."""
    return EventSourceResponse(_events(request.app.state.client, body))


async def _events(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[dict[str, str]]:
    async with client.stream("POST", "/chat/completions", json=body) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield {"data": line.removeprefix("data: ")}
