"""The service on a real socket, between a real vLLM and a real Valkey."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager

import httpx
import pytest

from app.main import create_app
from tests.support.service import serving, settings_for
from tests.vllm.server import MODEL, Vllm, started_vllm

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """A loaded vLLM for the whole run."""
    with started_vllm(tmp_path_factory.mktemp("vllm")) as vllm:
        vllm.wait_until_loaded()
        yield vllm


@pytest.fixture
def user() -> str:
    """A user of this test alone: all tests share one store."""
    return uuid.uuid4().hex


@pytest.fixture
def serve(valkey_url: str) -> Serve:
    """Start the service in front of this vLLM with these settings changed."""

    def start(vllm: Vllm, **values: object) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        return serving(
            create_app(
                settings_for(llm_base_url=f"{vllm.url}/v1", llm_model=MODEL, redis_url=valkey_url, **values)
            )
        )

    return start
