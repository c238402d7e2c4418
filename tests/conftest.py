"""What tests of all layers share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from app.embedded.store import embedded_store
from app.settings import Settings
from tests.support.backend import Backend, running_backend


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the variables or the `.env` of whoever runs it."""
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def fake_redis() -> AsyncIterator[Redis]:
    async with FakeAsyncRedis() as redis:
        yield redis


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey for the whole run; tests use users of their own."""
    with embedded_store(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with running_backend() as backend:
        yield backend
