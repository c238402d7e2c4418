"""The service on a real socket, between a scripted backend and a real Valkey."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from app.http.protocol import ConnectionLimits
from app.main import create_app
from tests.support.backend import Backend
from tests.support.service import serving, settings_for
from tests.support.store import tcp_store

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def user() -> str:
    """A user of this test alone: all tests share one store."""
    return uuid.uuid4().hex


@pytest.fixture
def serve(backend: Backend, valkey_url: str) -> Serve:
    """Start the service with these settings changed."""

    def start(
        *, limits: ConnectionLimits | None = None, **values: object
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        settings = settings_for(**{"llm_base_url": backend.url, "redis_url": valkey_url, **values})
        return serving(create_app(settings), limits)

    return start


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey_url) as redis:
        yield redis


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[str]:
    """A store that may be frozen without disturbing other tests."""
    with tcp_store(tmp_path) as url:
        yield url
