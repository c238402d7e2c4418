"""HTTP as some clients speak it."""

import asyncio
import gzip
import json
import socket
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.http.protocol import ConnectionLimits
from tests.http.exchange import exchange as exchange_parts
from tests.http.requests import ALL, SMUGGLED
from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange
from tests.support.chunks import chunk, event
from tests.support.raw_http import chat_request
from tests.support.sse import chat
from tests.support.turns import PausedScript, begin, turn_of


async def exchange(client: httpx.AsyncClient, *parts: bytes) -> bytes:
    """Send bytes, each part in a write of its own, and return what comes until the service closes."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("name", ["Upgrade", "upgrade"])
async def test_an_offer_of_another_protocol_is_ignored(serve: Serve, user: str, name: str) -> None:
    """Java's HttpClient makes one with its first request."""
    upgrade = (
        "Connection: Upgrade, HTTP2-Settings, close",
        f"{name}: h2c",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
    )
    ask = chat_request(*upgrade, user_id=user, message="Hi")
    head, blank_line, body = ask.partition(b"\r\n\r\n")
    async with serve() as client:
        for parts in ([ask], [head + blank_line, body]):
            answer = await exchange(client, *parts)
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"data: [DONE]" in answer


@pytest.mark.parametrize(
    "header", [b"X-Long: " + b"x" * 100_000, b"X-Many: x\r\n" * 10_000 + b"\r\n", b"no header\r\n\r\n"]
)
async def test_a_head_that_is_too_large_or_malformed_is_refused(serve: Serve, header: bytes) -> None:
    async with serve() as client:
        answer = await exchange(client, b"GET /health HTTP/1.1\r\nHost: localhost\r\n", header)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    error = json.loads(body)["error"]
    assert error["code"] == "invalid_http"
    assert f"X-Request-Id: {error['request_id']}".encode() in head


async def test_what_follows_a_good_request_does_not_spoil_its_answer(serve: Serve, user: str) -> None:
    """As if a body is longer than its Content-Length says."""
    ask = chat_request(user_id=user, message="Hi")
    async with serve() as client:
        answer = await exchange(client, ask + b"}}} no request")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_requests_on_one_connection_are_answered_in_their_order(serve: Serve, user: str) -> None:
    ask = chat_request(user_id=user, message="Hi")
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    async with serve() as client:
        answer = await exchange(client, ask + ask + last)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.count(b"data: [DONE]") == 2
    assert answer.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("megabytes", [1, 5])
async def test_a_body_that_is_much_too_large_is_refused(serve: Serve, user: str, megabytes: int) -> None:
    async with serve() as client:
        message = "x" * megabytes * 1024 * 1024
        response = await client.post("/chat", json={"user_id": user, "message": message})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


async def test_a_body_where_none_is_wanted_disturbs_no_stream(serve: Serve, user: str) -> None:
    async with serve() as client:
        turn_id = (await client.post("/chat", json={"user_id": user, "message": "Hi"})).headers["x-turn-id"]
        follow = f"GET /chat/{turn_id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n".encode()
        answer = await exchange(client, follow + b"Content-Length: 99999999\r\n\r\nbody")
    assert b"data: [DONE]" in answer


async def test_every_request_has_its_answer_whole_and_byte_by_byte(serve: Serve) -> None:
    async with serve(limits=ConnectionLimits(head_seconds=60)) as client:
        port = client.base_url.port
        assert port is not None
        few = asyncio.Semaphore(8)

        async def both(name: str) -> None:
            async with few:
                await compare(name)

        async def compare(name: str) -> None:
            request, statuses = ALL[name]
            whole = await exchange_parts(port, [request], answers=len(statuses))
            assert whole.statuses == statuses, name
            step = 1 + len(request) // 2000
            bytewise = [request[n : n + step] for n in range(0, len(request), step)]
            assert await exchange_parts(port, bytewise, answers=len(statuses)) == whole, name

        await asyncio.gather(*map(both, ALL))


async def test_a_body_behind_an_offer_erases_nothing(serve: Serve, user: str) -> None:
    """A proxy that forwards Upgrade and reuses its connections would send it with another's credential."""
    smuggled = SMUGGLED.replace(b"victim", user.encode())
    offer = chat_request("Connection: upgrade", "Upgrade: websocket", user_id=user, message="Hi")
    head, blank_line, body = offer.partition(b"\r\n\r\n")
    async with serve() as client:
        await chat(client, user_id=user)
        for cut in (0, len(head) // 2, len(head), len(head) + 4, len(offer)):
            parts = (offer[:cut], offer[cut:] + smuggled) if cut else (offer + smuggled,)
            answer = await exchange(client, *parts)
            assert answer.count(b"HTTP/1.1 ") == 1
            assert b"data: [DONE]" in answer
        kept = (await client.get(f"/users/{user}/conversations/default")).json()
    assert len(kept["messages"]) == 12
    assert blank_line + body in offer


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/", "/docs", "/openapi.json", "/nowhere"])
async def test_head_is_get_without_a_body(serve: Serve, path: str) -> None:
    async with serve() as client:
        head, get = await client.head(path), await client.get(path)
        assert (head.status_code, head.content) == (get.status_code, b"")
        differ = {"date", "x-request-id", "content-length"}
        assert {(n, v) for n, v in head.headers.items() if n not in differ} == {
            (n, v) for n, v in get.headers.items() if n not in differ
        }
        assert "content-length" in head.headers


async def test_head_of_a_stream_ends_at_once(serve: Serve, backend: Backend, user: str) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve() as client:
        turn = begin(client, user)
        turn_id = turn_of(await anext(turn))
        head = await client.head(f"/chat/{turn_id}")
        assert head.headers["content-type"].startswith("text/event-stream")
        assert (await client.head("/chat")).headers["allow"] == "POST"
        await client.delete(f"/chat/{turn_id}")
        assert [each.data async for each in turn][-1] == "[DONE]"


async def test_to_http_1_0_a_stream_ends_with_its_connection(serve: Serve, user: str) -> None:
    ask = chat_request(user_id=user, message="Hi").replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    async with serve() as client:
        answer = await exchange(client, ask)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body.startswith(b"id: ")
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP, identity"])
async def test_a_compressed_body_is_a_415(serve: Serve, user: str, encoding: str) -> None:
    body = gzip.compress(json.dumps({"user_id": user, "message": "Hi"}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    async with serve() as client:
        response = await client.post("/chat", content=body, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (415, "unsupported_media_type")
    assert response.headers["accept-encoding"] == "identity"


FAST = ConnectionLimits(head_seconds=0.3)


async def test_a_new_connection_may_not_be_silent_for_long(serve: Serve) -> None:
    async with serve(limits=FAST) as client:
        assert await exchange(client) == b""
        assert await exchange(client, b"\r\n\r\n") == b""


@pytest.mark.parametrize("first", [b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"])
async def test_half_a_head_is_not_waited_for_long(serve: Serve, first: bytes) -> None:
    async with serve(limits=FAST) as client:
        answer = await exchange(client, first + b"GET /health HTTP/1.1\r\nHost: loc")
    assert answer.count(b"HTTP/1.1 200 ") == (1 if first else 0)
    assert b"HTTP/1.1 408 " in answer
    assert b'"code":"request_timeout"' in answer


async def test_a_stream_outlives_half_a_head_behind_it(serve: Serve, backend: Backend, user: str) -> None:
    backend.script = script = PausedScript(event(chunk("Hel")))
    async with serve(limits=FAST) as client:
        ask = chat_request(user_id=user, message="Hi") + b"GET /health HTTP/1.1\r\n"
        asking = asyncio.create_task(exchange(client, ask))
        await asyncio.sleep(2 * FAST.head_seconds)
        script.go_on.set()
        answer = await asking
    assert b"data: [DONE]" in answer
    assert b"HTTP/1.1 408 " in answer.partition(b"data: [DONE]")[2]


async def test_above_the_bound_the_newest_connection_is_closed(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(limits=ConnectionLimits(connections=2)) as client:
        assert (await client.get("/health")).status_code == 200
        second = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        assert await exchange(client, b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        assert (await client.get("/health")).status_code == 200
        second[1].close()
    logged = capsys.readouterr().out
    assert "connection closed" in logged
    assert "too many are open" in logged


async def test_requests_that_wait_for_nothing_are_not_queued_without_end(serve: Serve) -> None:
    many = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3000
    async with serve() as client:
        answer = await exchange(client, many)
    assert 1 <= answer.count(b"HTTP/1.1 200 ") < 3000


async def test_an_endless_trailer_is_refused(serve: Serve) -> None:
    head = b"POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with serve() as client:
        answer = await exchange(
            client, head + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", *[b"x" * 10_000] * 20
        )
    assert answer.startswith(b"HTTP/1.1 400 ")


def is_open_at_the_other_end(connection: socket.socket) -> bool:
    """Tell whether the server still has its end of a connection: who reads nothing is told nothing."""
    peer = f":{connection.getsockname()[1]:04X}"
    established = "01"
    ends = [line.split()[2:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(remote.endswith(peer) and state == established for remote, state in ends)


async def test_an_answer_that_is_not_taken_is_not_kept_for_ever(serve: Serve) -> None:
    """Every answer, not only a stream."""
    ask = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20
    async with serve(limits=ConnectionLimits(slow_reader_seconds=0.3)) as client:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)  # noqa: FBT003 - the name of the standard library's only parameter
            loop = asyncio.get_running_loop()
            await loop.sock_connect(slow, (client.base_url.host, client.base_url.port))
            await loop.sock_sendall(slow, ask)
            async with asyncio.timeout(20):
                while is_open_at_the_other_end(slow):
                    await asyncio.sleep(0.05)
            received = 0
            with suppress(ConnectionResetError):
                while data := await loop.sock_recv(slow, 1 << 20):
                    received += len(data)
    assert received < 20 * 1_000_000


async def test_a_client_that_leaves_a_stream_is_noticed_with_a_request_behind_it(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    ask = chat_request(user_id=user, message="Hi") + b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serve(resume_grace_seconds=0, sse_ping_seconds=60) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(ask)
        await reader.readuntil(b"Hel")
        writer.close()
        async with asyncio.timeout(10):
            await backend.completions[0].hung_up.wait()


async def test_a_client_that_leaves_is_noticed_after_a_long_body_that_came_at_once(
    serve: Serve, backend: Backend, user: str
) -> None:
    asked = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        asked.set()
        await exchange.hung_up.wait()

    backend.script = script
    request = chat_request(user_id=user, message="Hi", stop=["x" * 100_000])
    head, _, body = request.partition(b"\r\n\r\n")
    async with serve(resume_grace_seconds=0) as client:
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n")
        await reader.readuntil(b"100 Continue\r\n\r\n")  # the service waits for the body
        writer.write(body)
        async with asyncio.timeout(10):
            await asked.wait()
            writer.close()
            await backend.completions[0].hung_up.wait()


async def test_a_client_that_leaves_a_stream_is_noticed_within_a_body_that_is_not_wanted(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve(resume_grace_seconds=0, sse_ping_seconds=60) as client:
        beginning = begin(client, user)
        turn_id = turn_of(await anext(beginning))
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        follow = (
            f"GET /chat/{turn_id} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n".encode()
        )
        writer.write(follow + b"x" * 400_000)
        await reader.readuntil(b"Hel")
        await beginning.aclose()
        writer.close()
        async with asyncio.timeout(10):
            await backend.completions[0].hung_up.wait()
