"""Two backends behind a whole service: what an operator sees of them, and what each of them is sent."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import httpx
import pytest

from tests.faults.scripts import NGINX, replies, says_error
from tests.live.conftest import Serve
from tests.live.test_metrics import of, scrape
from tests.support.backend import Backend, Exchange, running_backend, says
from tests.support.chunks import answer
from tests.support.collector import attributes, collecting
from tests.support.sse import Received, chat

KEYS = {"KEY_OF_A": "sk-canary-key-of-a-0123456789", "KEY_OF_B": "sk-canary-key-of-b-0123456789"}

ServePair = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Backend, Backend]]:
    async with AsyncExitStack() as stack:
        a = await stack.enter_async_context(running_backend())
        b = await stack.enter_async_context(running_backend())
        a.script, b.script = says("a"), says("b")
        yield a, b


@pytest.fixture
def serve_pair(serve: Serve, pair: tuple[Backend, Backend], monkeypatch: pytest.MonkeyPatch) -> ServePair:
    """Start the service with A in front of B."""
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)

    def start(
        models: dict[str, str] | None = None, **values: object
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]:
        a, b = pair
        entries = [
            {
                "name": "a",
                "url": a.url,
                "api_key_env": "KEY_OF_A",
                "models": models or {"test-model": "model-of-a"},
            },
            {
                "name": "b",
                "url": b.url,
                "api_key_env": "KEY_OF_B",
                "models": {"test-model": "model-of-b"},
                "priority": 1,
            },
        ]
        return serve(
            llm_base_url="", llm_backends=json.dumps(entries), rate_limit_turns_per_minute=0, **values
        )

    return start


def text(received: list[Received]) -> str:
    assert received[-1].data == "[DONE]"
    return "".join(each.content for each in received[:-1])


async def test_each_backend_gets_its_own_model_and_key_and_no_key_is_logged(
    pair: tuple[Backend, Backend],
    serve_pair: ServePair,
    user: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    a, b = pair
    a.script = replies(401, says_error(f"Incorrect API key provided: {KEYS['KEY_OF_A']}"))
    async with serve_pair() as client:
        assert text(await chat(client, user_id=user)) == "b"
        b.script = replies(401, says_error(f"Incorrect API key provided: {KEYS['KEY_OF_B']}"))
        response = await client.post("/chat", json={"user_id": user, "message": "Hi"})
        assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
        shown = [response.text, (await client.get("/ready")).text, (await client.get("/metrics")).text]
    for backend, name in ((a, "a"), (b, "b")):
        assert [each.body["model"] for each in backend.completions] == [f"model-of-{name}"] * 2
        assert {each.headers["authorization"] for each in backend.completions} == {
            f"Bearer {KEYS[f'KEY_OF_{name.upper()}']}"
        }
    log = capsys.readouterr()
    assert "failed over before content" in log.out
    assert not any(key in each for key in KEYS.values() for each in (*shown, log.out, log.err))


async def test_ready_lists_each_backend_and_is_up_if_one_that_serves_the_default_model_is(
    pair: tuple[Backend, Backend], serve_pair: ServePair
) -> None:
    async with serve_pair() as client:
        pair[0].models_status = 503
        ready = await client.get("/ready")
    llm = ready.json()["checks"]["llm"]
    assert (ready.status_code, llm["status"]) == (200, "up")
    assert {name: each["status"] for name, each in llm["backends"].items()} == {"a": "down", "b": "up"}
    assert "://" not in ready.text
    async with serve_pair(models={"other": "other"}) as client:
        pair[0].models_status = 200
        pair[1].models_status = 503
        ready = await client.get("/ready")
    llm = ready.json()["checks"]["llm"]
    assert (ready.status_code, llm["status"]) == (503, "down")
    assert {name: each["status"] for name, each in llm["backends"].items()} == {"a": "up", "b": "down"}


async def test_metrics_and_the_span_name_the_backends(
    pair: tuple[Backend, Backend], serve_pair: ServePair, user: str
) -> None:
    pair[0].script = replies(503, NGINX)
    with collecting() as collector:
        async with serve_pair(otel_exporter_otlp_endpoint=collector.url) as client:
            for number in range(5):
                assert text(await chat(client, user_id=user, conversation_id=str(number))) == "b"
            found = await scrape(client)
        calls = [attributes(span) for span in collector.spans if span.name == "chat test-model"]
    assert len(pair[0].completions) == 3
    assert of(found, "chat_backend_attempts_total", backend="a", outcome="upstream_unavailable") == 3
    assert of(found, "chat_backend_attempts_total", backend="b", outcome="complete") == 5
    assert of(found, "chat_backend_time_to_first_token_seconds_count", backend="b") == 5
    for backend, is_open in (("a", 1), ("b", 0)):
        assert of(found, "chat_backend_breaker_open", backend=backend, model="test-model") == is_open
        assert of(found, "chat_backend_running", backend=backend) == 0
    assert {call["app.backend"] for call in calls} == {"b"}
    assert {call["server.port"] for call in calls} == {httpx.URL(pair[1].url).port}


async def test_completions_of_v1_fail_over_whether_they_are_streamed_or_not(
    pair: tuple[Backend, Backend], serve_pair: ServePair
) -> None:
    pair[0].script = replies(503, NGINX)
    body = {"model": "test-model", "messages": [{"role": "user", "content": "Hi"}]}
    async with serve_pair() as client:
        whole = await client.post("/v1/chat/completions", json=body)
        streamed = await client.post("/v1/chat/completions", json={**body, "stream": True})
        listed = await client.get("/v1/models")
    assert whole.json()["choices"][0]["message"]["content"] == "b"
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert streamed.text.count('"role"') == 1
    assert [each["id"] for each in listed.json()["data"]] == ["test-model"]


async def test_a_backend_with_a_smaller_window_is_asked_with_less_history(
    pair: tuple[Backend, Backend], serve_pair: ServePair, user: str
) -> None:
    async def takes_three_messages(exchange: Exchange) -> None:
        if len(exchange.body["messages"]) > 3:
            await exchange.json(400, says_error("This model's maximum context length is 64 tokens."))
        else:
            await exchange.head()
            await exchange.send(*answer("b"))

    a, b = pair
    a.models = [{"id": "model-of-a", "context_length": 100_000}]
    async with serve_pair() as client:
        for _ in range(5):
            assert text(await chat(client, user_id=user)) == "a"
        assert len(a.completions[-1].body["messages"]) == 10
        a.script, b.script = replies(503, NGINX), takes_three_messages
        assert text(await chat(client, user_id=user)) == "b"
