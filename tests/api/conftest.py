"""The application without a socket, for what does not stream: a backend by respx, a Redis by fakeredis."""

from collections.abc import AsyncIterator

import httpx
import pytest
import respx
from fastapi import FastAPI
from redis.asyncio import Redis

from app.main import create_app
from tests.support.chunks import answer
from tests.support.service import settings_for


@pytest.fixture
def llm() -> respx.MockRouter:
    router = respx.MockRouter(base_url="http://backend.test/v1", assert_all_called=False)
    router.get("/models").respond(200, json={"data": []})
    router.post("/chat/completions").respond(
        200, headers={"Content-Type": "text/event-stream"}, content=b"".join(answer("Hello"))
    )
    return router


@pytest.fixture
async def app(llm: respx.MockRouter, fake_redis: Redis) -> AsyncIterator[FastAPI]:
    settings = settings_for(
        llm_allowed_models="other-model",
        llm_max_tokens=100,
        llm_context_tokens=4096,
        max_message_chars=50,
        max_body_bytes=2000,
    )
    app = create_app(settings, transport=httpx.MockTransport(llm.async_handler), redis=fake_redis)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
