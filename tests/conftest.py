"""Fixtures that tests of all layers share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import structlog
from fakeredis import FakeAsyncRedis
from redis.asyncio import Redis

from app.settings import Settings
from tests.support.backend import Backend, running_backend
from tests.support.certificate import own_certificate
from tests.support.store import tcp_store


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the variables and the `.env` of the person who runs the tests."""
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture(scope="session", autouse=True)
def _plain_tracebacks() -> None:
    """Log tracebacks as Python prints them: structlog's default draws each for a second."""
    *processors, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*processors, renderer])


@pytest.fixture(scope="session", autouse=True)
def _one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trust one authority instead of the machine's: loading those takes each HTTP client 30 ms."""
    _, certificate_file = own_certificate(tmp_path_factory.mktemp("certificate"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSL_CERT_FILE", str(certificate_file))
        yield


@pytest.fixture
async def fake_redis() -> AsyncIterator[Redis]:
    async with FakeAsyncRedis() as redis:
        yield redis


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a real Valkey for the whole run, or for one worker's part of it; tests use users of their own."""
    with tcp_store(tmp_path_factory.mktemp("valkey")) as url:
        yield url


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with running_backend() as backend:
        yield backend
