"""Two backends or three: an answer does not depend on one of them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import httpx
import pytest

from tests.faults.scripts import NGINX, hangs, replies, resets, says_error, sends, writes
from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, Script, running_backend, says
from tests.support.chunks import chunk, event
from tests.support.sse import chat

ROLE = event(chunk("", choices=[{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]))
ServePair = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


async def resets_at_once(exchange: Exchange) -> None:
    exchange.reset()


@pytest.fixture
async def pair() -> AsyncIterator[list[Backend]]:
    async with AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(running_backend()) for _ in range(2)]
        for backend, name in zip(backends, "ab", strict=True):
            backend.script = says(name)
        yield backends


def entry(name: str, backend: Backend, **fields: object) -> dict[str, object]:
    return {"name": name, "url": backend.url, "models": {"test-model": f"model-of-{name}"}, **fields}


@pytest.fixture
def serve_pair(serve: Serve, pair: list[Backend]) -> ServePair:
    """Start the service with A in front of B, or with these fields of the entries."""

    def start(
        a: dict[str, object] | None = None, b: dict[str, object] | None = None, **values: object
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        first, second = a or {}, b if b is not None else {"priority": 1}
        entries = [entry("a", pair[0], **first), entry("b", pair[1], **second)]
        return serve(
            llm_base_url="", llm_backends=json.dumps(entries), rate_limit_turns_per_minute=0, **values
        )

    return start


@pytest.mark.parametrize(
    "script",
    [
        resets_at_once,
        replies(500, says_error()),
        replies(503, NGINX),
        sends(then=hangs),
        sends(ROLE),
        sends(ROLE, then=resets),
        sends(ROLE, then=hangs),
        writes(b"HTTP/1.1 200 OK\r\n", then=hangs),
    ],
    ids=[
        "reset",
        "500",
        "503",
        "silent after its head",
        "role, dies",
        "role, reset",
        "role, silent",
        "half a head",
    ],
)
async def test_a_failure_before_content_is_answered_by_the_next_backend(
    script: Script, pair: list[Backend], serve_pair: ServePair, user: str
) -> None:
    a, b = pair
    a.script = script
    async with serve_pair(llm_first_token_timeout_seconds=2) as client:
        received = await chat(client, user_id=user)
    assert "".join(each.content for each in received[:-1]) == "b"
    assert received[-1].data == "[DONE]"
    assert sum('"role"' in each.data for each in received) == 1
    assert [len(each.completions) for each in (a, b)] == [1, 1]


async def test_a_backend_that_refuses_connections_is_passed_over(
    pair: list[Backend], serve_pair: ServePair, user: str
) -> None:
    async with running_backend() as gone:
        url = gone.url
    async with serve_pair({"url": url}) as client:
        assert [each.content for each in (await chat(client, user_id=user))[1:2]] == ["b"]
        checks = (await client.get("/ready")).json()["checks"]
    assert checks["llm"]["status"] == "up"
    assert {name: check["status"] for name, check in checks["llm"]["backends"].items()} == {
        "a": "down",
        "b": "up",
    }
    assert len(pair[1].completions) == 1


async def test_each_backend_gets_its_own_model_and_key(
    pair: list[Backend], serve_pair: ServePair, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_A", "sk-key-of-a-0123456789")
    monkeypatch.setenv("KEY_OF_B", "sk-key-of-b-0123456789")
    a, b = pair
    a.script = replies(503, NGINX)
    async with serve_pair({"api_key_env": "KEY_OF_A"}, {"api_key_env": "KEY_OF_B", "priority": 1}) as client:
        await chat(client, user_id=user)
    for backend, name in ((a, "a"), (b, "b")):
        (asked,) = backend.completions
        assert asked.body["model"] == f"model-of-{name}"
        assert asked.headers["authorization"] == f"Bearer sk-key-of-{name}-0123456789"


async def test_a_refusal_of_the_request_does_not_fail_over(
    pair: list[Backend], serve_pair: ServePair, user: str
) -> None:
    pair[0].script = replies(400, says_error("temperature is too high"))
    async with serve_pair() as client:
        response = await client.post("/chat", json={"user_id": user, "message": "Hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "upstream_rejected")
    assert pair[1].completions == []


async def test_a_busy_backend_is_left_alone_for_its_retry_after(
    pair: list[Backend], serve_pair: ServePair, user: str
) -> None:
    a, b = pair
    a.script = replies(429, says_error("Slow down"), Retry_After="1")
    async with serve_pair() as client:
        for _ in range(5):
            assert (await chat(client, user_id=user))[-1].data == "[DONE]"
        assert [len(each.completions) for each in (a, b)] == [1, 5]
        a.script = says("a")
        async with asyncio.timeout(10):
            while len(a.completions) == 1:
                await chat(client, user_id=user)


async def test_all_down_is_503_with_retry_after_and_nothing_is_left(
    pair: list[Backend], serve_pair: ServePair, user: str
) -> None:
    for backend in pair:
        backend.script = replies(503, NGINX)
    async with serve_pair() as client:
        for _ in range(5):  # also with open breakers: ask anyway
            response = await client.post("/chat", json={"user_id": user, "message": "Hi"})
            assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_unavailable")
            assert "retry-after" in response.headers
        listed = await client.get(f"/users/{user}/conversations")
    assert listed.json()["conversations"] == []
    assert [len(each.completions) for each in pair] == [5, 5]


async def test_a_dead_backend_is_asked_three_times_and_then_left_alone(
    pair: list[Backend], serve_pair: ServePair, user: str
) -> None:
    pair[0].script = replies(503, NGINX)
    async with serve_pair() as client:
        for number in range(20):
            received = await chat(client, user_id=user, conversation_id=str(number))
            assert received[-1].data == "[DONE]"
        metrics = (await client.get("/metrics")).text
    assert len(pair[0].completions) == 3
    assert 'chat_backend_attempts_total{backend="a",outcome="upstream_unavailable"} 3.0' in metrics
    assert 'chat_backend_attempts_total{backend="b",outcome="complete"} 20.0' in metrics


async def test_a_conversation_stays_with_its_backend_and_only_the_dead_one_s_move(
    pair: list[Backend], serve_pair: ServePair, user: str
) -> None:
    async with serve_pair(b={}) as client:

        async def answered_by(conversation: int) -> str:
            received = await chat(client, user_id=user, conversation_id=str(conversation))
            return "".join(each.content for each in received[:-1])

        before = {number: await answered_by(number) for number in range(12)}
        assert set(before.values()) == {"a", "b"}
        assert all([await answered_by(0) == before[0] for _ in range(10)])
        pair[0].script = replies(503, NGINX)
        assert {number: await answered_by(number) for number in range(12)} == dict.fromkeys(range(12), "b")
        moved = list(pair[1].completions)
    assert len(moved) == sum(name == "b" for name in before.values()) + 12 + 10 * (before[0] == "b")


async def test_nothing_is_repeated_once_content_has_gone_out(
    pair: list[Backend], serve_pair: ServePair, user: str
) -> None:
    pair[0].script = sends(ROLE, event(chunk("Hel")))
    async with serve_pair() as client:
        received = await chat(client, user_id=user)
    assert received[-1].json["error"]["code"] == "upstream_truncated"
    assert pair[1].completions == []
