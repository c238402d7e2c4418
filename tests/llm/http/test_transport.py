"""The transport over real sockets, beside httpx's own."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from app.llm.failures import unanswered
from app.llm.http import FailedAgain, RelayTransport
from tests.llm.http.test_connection import BROKEN, ENDED_BY_CLOSE, RESPONSES
from tests.support.certificate import own_certificate
from tests.support.ports import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loading httpx's authorities takes longer than a test."""
STRICTER = {"both framings", "a flood of interim responses", "endless trailers"}
"""What httpx accepts: RFC 9112, 6.1, lets a client refuse the first; httpx does not bound the others."""

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        ),
        0,
    )
    return head + await reader.readexactly(length)


@asynccontextmanager
async def peer(
    script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """Serve connections by a script; yield the base URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        name = f"[{host}]" if ":" in host else host
        yield f"{'https' if tls else 'http'}://{name}:{port}"


def answering(response: bytes) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(response)
        await writer.drain()

    return script


async def _outcome(transport: httpx.AsyncBaseTransport, url: str) -> object:
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        try:
            response = await client.post(url, json={"stream": True})
        except httpx.TransportError:
            return "failed"
        return response.status_code, response.headers.multi_items(), response.content


@pytest.mark.parametrize("name", [*RESPONSES, *ENDED_BY_CLOSE, *BROKEN])
async def test_a_response_means_what_it_means_to_httpx(name: str) -> None:
    response = {**RESPONSES, **ENDED_BY_CLOSE, **BROKEN}[name]
    async with peer(answering(response)) as url:
        ours = await _outcome(RelayTransport(), url)
        httpxs = await _outcome(httpx.AsyncHTTPTransport(verify=NO_TLS), url)
    assert ours == ("failed" if name in STRICTER else httpxs)


async def test_a_request_arrives_as_httpx_writes_it() -> None:
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await _read_request(reader))
        writer.write(OK)
        await writer.drain()

    async with peer(script) as url:
        await _outcome(RelayTransport(), f"{url}/v1/chat?api-version=1")
        await _outcome(httpx.AsyncHTTPTransport(verify=NO_TLS), f"{url}/v1/chat?api-version=1")
    assert seen[0] == seen[1]


async def test_requests_one_after_the_other_share_a_connection() -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await _read_request(reader):
            writer.write(OK)
            await writer.drain()

    async with peer(script) as url, httpx.AsyncClient(transport=RelayTransport()) as client:
        for _ in range(5):
            assert (await client.get(url)).text == "ok"
        assert connections == 1
        await asyncio.gather(*(client.get(url) for _ in range(3)))
        assert connections == 3


async def test_a_connection_that_the_backend_closed_while_idle_costs_no_request() -> None:
    requests = 0
    closed = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await _read_request(reader)
        requests += 1
        writer.write(OK)
        await writer.drain()
        if requests == 1:
            await _read_request(reader)  # arrives, and the backend closes instead of answering
            closed.set()

    async with peer(script) as url, httpx.AsyncClient(transport=RelayTransport()) as client:
        assert (await client.get(url)).text == "ok"
        assert (await client.get(url)).text == "ok"
        assert closed.is_set()
    assert requests == 2


async def test_a_request_that_fails_on_a_kept_connection_and_on_a_new_one_is_not_sent_a_third_time() -> None:
    requests = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        await _read_request(reader)
        requests += 1
        if requests == 1:
            writer.write(OK)
            await writer.drain()
            await _read_request(reader)
            requests += 1

    async with peer(script) as url, httpx.AsyncClient(transport=RelayTransport()) as client:
        assert (await client.get(url)).text == "ok"
        with pytest.raises(FailedAgain) as failed:
            await client.get(url)
    assert requests == 3
    assert not unanswered(failed.value).is_retryable


async def test_a_new_connection_that_is_closed_before_an_answer_is_not_tried_again() -> None:
    requests = 0

    async def script(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal requests
        await _read_request(reader)
        requests += 1

    async with peer(script) as url, httpx.AsyncClient(transport=RelayTransport()) as client:
        with pytest.raises(httpx.ReadError):
            await client.get(url)
    assert requests == 1


async def test_both_internet_protocols_are_spoken() -> None:
    for host in ("127.0.0.1", "::1"):
        async with peer(answering(OK), host=host) as url:
            assert (await _outcome(RelayTransport(), url))[0] == 200  # type: ignore[index]  # no failure
    async with peer(answering(OK)) as url:
        by_name = url.replace("127.0.0.1", "localhost")  # whose first address may be the other protocol's
        assert (await _outcome(RelayTransport(), by_name))[0] == 200  # type: ignore[index]  # no failure


async def test_a_certificate_is_trusted_if_the_environment_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls, certificate = own_certificate(tmp_path)
    async with peer(answering(OK), tls=tls) as url:
        async with httpx.AsyncClient(transport=RelayTransport()) as client:
            with pytest.raises(httpx.ConnectError) as refused:
                await client.get(url)
        assert isinstance(refused.value.__cause__, ssl.SSLCertVerificationError)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with httpx.AsyncClient(transport=RelayTransport()) as client:
            assert (await client.get(url)).text == "ok"


async def test_what_cannot_be_connected_is_a_connect_error() -> None:
    async with httpx.AsyncClient(transport=RelayTransport()) as client:
        for url in (f"http://127.0.0.1:{free_port()}", "http://host.invalid"):
            with pytest.raises(httpx.ConnectError):
                await client.get(url)


async def test_the_connect_limit_bounds_the_handshake_too() -> None:
    release = asyncio.Event()

    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await release.wait()

    async with peer(silent) as url, httpx.AsyncClient(transport=RelayTransport()) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get(url.replace("http:", "https:"), timeout=httpx.Timeout(None, connect=0.1))
        release.set()


async def test_a_stream_that_is_left_closes_its_connection_at_the_backend() -> None:
    left = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        assert await reader.read() == b""
        left.set()

    async with peer(script) as url, httpx.AsyncClient(transport=RelayTransport()) as client:
        async with client.stream("GET", url) as response:
            async for part in response.aiter_raw():
                assert part == b"hello"
                break
        async with asyncio.timeout(5):
            await left.wait()
