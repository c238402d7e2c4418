"""The image says what it is, and its health check asks the address that the service listens on."""

import asyncio
import os
import socket
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.deploy.manifests import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
HEALTHCHECK = ROOT / "deploy" / "image" / "healthcheck.py"
FOUND, BUSY = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
)

ANY_IPV4 = "0.0.0.0"  # noqa: S104 - compared, not bound


@asynccontextmanager
async def listening(host: str, answer: bytes = FOUND) -> AsyncIterator[int]:
    """Answer every request at one address, and give the port."""

    async def respond(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(respond, host, 0) as server:
        port: int = server.sockets[0].getsockname()[1]
        yield port


async def is_healthy(app_host: str, port: int) -> bool:
    environment = {
        **os.environ,
        "APP_HOST": app_host,
        "APP_PORT": str(port),
        "http_proxy": "http://127.0.0.1:9",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", str(HEALTHCHECK), env=environment)
    return await process.wait() == 0


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("app_host", [ANY_IPV4, "", "127.0.0.1"])
async def test_a_service_on_ipv4_is_healthy(app_host: str) -> None:
    async with listening("127.0.0.1") as port:
        assert await is_healthy(app_host, port)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("app_host", ["::1", "::"])
async def test_a_service_on_ipv6_alone_is_healthy(app_host: str) -> None:
    async with listening("::1") as port:
        assert await is_healthy(app_host, port)


async def test_a_service_that_answers_with_an_error_is_unhealthy() -> None:
    async with listening("127.0.0.1", BUSY) as port:
        assert not await is_healthy(ANY_IPV4, port)


async def test_a_service_that_is_not_there_is_unhealthy() -> None:
    async with listening("127.0.0.1") as port:
        pass
    assert not await is_healthy(ANY_IPV4, port)


@pytest.mark.parametrize(
    "name", ["title", "description", "licenses", "version", "revision", "source", "created"]
)
def test_the_image_has_the_labels_of_the_open_container_initiative(name: str) -> None:
    assert f"org.opencontainers.image.{name}=" in DOCKERFILE


def test_the_image_runs_as_a_user_that_is_not_root() -> None:
    assert "\nUSER 10001:0\n" in DOCKERFILE
