"""Where the service listens, and when it refuses to."""

import socket
from pathlib import Path

import httpx
import pytest

from tests.support.backend import Backend
from tests.support.process import run_to_end, started

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize("host", ["0.0.0.0", pytest.param("::", marks=needs_ipv6)])  # noqa: S104
async def test_beyond_loopback_without_keys_the_start_fails_with_one_line(tmp_path: Path, host: str) -> None:
    code, written = await run_to_end(tmp_path, app_host=host)
    assert code == 2
    assert written.startswith("API_KEYS: expected keys, or JWT_SECRET or JWT_JWKS_URL")
    assert "ALLOW_ANYBODY=true" in written
    assert written.count("\n") == 1


@needs_ipv6
@pytest.mark.parametrize("allowed", [{"allow_anybody": "true"}, {"api_keys": "key-0123456789abcdef"}])
async def test_two_colons_are_both_families(
    tmp_path: Path, backend: Backend, valkey_url: str, allowed: dict[str, str]
) -> None:
    settings = {"llm_base_url": backend.url, "llm_model": "m", "redis_url": valkey_url, **allowed}
    async with started(tmp_path, app_host="::", **settings) as (_, client):
        port = client.base_url.port
        for address in ("127.0.0.1", "[::1]"):
            async with httpx.AsyncClient(base_url=f"http://{address}:{port}") as each:
                assert (await each.get("/health")).status_code == 200
