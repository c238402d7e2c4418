"""HTTP as some clients speak it."""

import asyncio
import json

import httpx
import pytest

from tests.live.conftest import Serve
from tests.support.raw_http import chat_request


async def exchange(client: httpx.AsyncClient, *parts: bytes) -> bytes:
    """Send bytes, each part in a write of its own; all that comes until the service closes."""
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("name", ["Upgrade", "upgrade"])
async def test_an_offer_of_another_protocol_is_passed_over(serve: Serve, user: str, name: str) -> None:
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
async def test_a_head_that_is_too_large_or_none_is_refused(serve: Serve, header: bytes) -> None:
    async with serve() as client:
        answer = await exchange(client, b"GET /health HTTP/1.1\r\nHost: test\r\n", header)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    error = json.loads(body)["error"]
    assert error["code"] == "invalid_http"
    assert f"X-Request-Id: {error['request_id']}".encode() in head


async def test_what_follows_a_good_request_does_not_spoil_its_answer(serve: Serve, user: str) -> None:
    """As where a body is longer than its Content-Length says."""
    ask = chat_request(user_id=user, message="Hi")
    async with serve() as client:
        answer = await exchange(client, ask + b"}}} no request")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


async def test_requests_on_one_connection_are_answered_in_their_order(serve: Serve, user: str) -> None:
    ask = chat_request(user_id=user, message="Hi")
    last = b"GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
    async with serve() as client:
        answer = await exchange(client, ask + ask + last)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert answer.count(b"data: [DONE]") == 2
    assert answer.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("megabytes", [1, 5])
async def test_a_body_that_is_much_too_large_is_told_so(serve: Serve, user: str, megabytes: int) -> None:
    async with serve() as client:
        message = "x" * megabytes * 1024 * 1024
        response = await client.post("/chat", json={"user_id": user, "message": message})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "body_too_large")


async def test_a_body_where_none_is_wanted_disturbs_no_stream(serve: Serve, user: str) -> None:
    async with serve() as client:
        turn_id = (await client.post("/chat", json={"user_id": user, "message": "Hi"})).headers["x-turn-id"]
        follow = f"GET /chat/{turn_id} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n".encode()
        answer = await exchange(client, follow + b"Content-Length: 99999999\r\n\r\nbody")
    assert b"data: [DONE]" in answer
