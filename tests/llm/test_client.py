"""The LLM client against scripted answers: what it sends, and what it makes of what comes back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import respx

from app.errors import (
    ContextLengthExceeded,
    ServiceError,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTruncated,
    UpstreamUnavailable,
)
from app.llm.chunk import Chunk
from app.llm.client import LLMClient
from app.llm.deadlines import TimeLimits
from app.llm.endpoint import Endpoint
from app.llm.request import CompletionRequest
from tests.support.chunks import DONE, answer, chunk, event

LIMITS = TimeLimits(connect=1, first_token=5, token_gap=5, total=10)
COMPLETION = CompletionRequest(
    model="test-model",
    messages=[{"role": "user", "content": "Hi"}],
    max_tokens=64,
    sampling={"temperature": 0.5},
)
UNSUPPORTED = "Unsupported parameter: '{}' is not supported with this model."


@pytest.fixture
def backend() -> respx.MockRouter:
    return respx.MockRouter(base_url="http://backend.test/v1", assert_all_called=False)


@pytest.fixture
async def client(backend: respx.MockRouter) -> AsyncIterator[LLMClient]:
    async with Endpoint(
        base_url="http://backend.test/v1",
        api_key="sk-secret",
        limits=LIMITS,
        transport=httpx.MockTransport(backend.async_handler),
    ) as endpoint:
        yield LLMClient(endpoint, limits=LIMITS)


def stream(*parts: bytes) -> httpx.Response:
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=b"".join(parts))


async def collect(
    client: LLMClient, completion: CompletionRequest = COMPLETION, *, received: list[str] | None = None
) -> list[str]:
    """The contents of an answer; those that came before a failure are in `received`."""
    contents = [] if received is None else received

    def take(chunks: list[Chunk]) -> None:
        contents.extend(chunk.content for chunk in chunks)

    await client.stream(completion, take, began=asyncio.get_running_loop().time())
    return contents


def sent(backend: respx.MockRouter) -> list[Any]:
    return [json.loads(call.request.content) for call in backend.calls]


async def test_it_sends_what_openai_takes_and_asks_for_usage(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").mock(return_value=stream(*answer("a")))
    await collect(client)
    assert sent(backend) == [
        {
            "model": "test-model",
            "messages": [{"role": "user", "content": "Hi"}],
            "max_tokens": 64,
            "temperature": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    headers = backend.calls.last.request.headers
    assert headers["authorization"] == "Bearer sk-secret"
    assert headers["accept-encoding"] == "identity"


async def test_without_a_key_no_authorization_is_sent(backend: respx.MockRouter) -> None:
    backend.post("/chat/completions").mock(return_value=stream(*answer("a")))
    transport = httpx.MockTransport(backend.async_handler)
    async with Endpoint(
        base_url="http://backend.test/v1", api_key="", limits=LIMITS, transport=transport
    ) as endpoint:
        await collect(LLMClient(endpoint, limits=LIMITS))
    assert "authorization" not in backend.calls.last.request.headers


async def test_a_cookie_of_the_backend_is_not_sent_with_the_next_users_request(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    response = stream(*answer("a"))
    response.headers["Set-Cookie"] = "session=first-user"
    backend.post("/chat/completions").mock(side_effect=[response, stream(*answer("b"))])
    await collect(client)
    await collect(client)
    assert "cookie" not in backend.calls.last.request.headers


async def test_a_body_that_cannot_be_decoded_is_an_upstream_error(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    class Junk(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"junk"

    backend.post("/chat/completions").mock(
        return_value=httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=Junk())
    )
    with pytest.raises(UpstreamError):
        await collect(client)


async def test_an_answer_is_whole_with_a_finish_reason_also_without_done(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").mock(return_value=stream(*answer("a", "b")[:-1]))
    assert "".join(await collect(client)) == "ab"


async def test_nothing_after_done_is_relayed(backend: respx.MockRouter, client: LLMClient) -> None:
    backend.post("/chat/completions").mock(return_value=stream(*answer("a"), event(chunk("late"))))
    assert "".join(await collect(client)) == "a"


@pytest.mark.parametrize("end", [b"", DONE])
async def test_an_end_without_a_finish_reason_is_truncated(
    backend: respx.MockRouter, client: LLMClient, end: bytes
) -> None:
    backend.post("/chat/completions").mock(return_value=stream(event(chunk("a")), end))
    with pytest.raises(UpstreamTruncated):
        await collect(client)


@pytest.mark.parametrize("body", [b"", DONE, b"<html>busy</html>", b'{"choices": []}', b": ping\n\n"])
async def test_a_success_that_is_no_completion_stream_is_an_upstream_error(
    backend: respx.MockRouter, client: LLMClient, body: bytes
) -> None:
    backend.post("/chat/completions").mock(return_value=stream(body))
    with pytest.raises(UpstreamError):
        await collect(client)


@pytest.mark.parametrize(
    "failure",
    [
        event({"error": {"message": "out of memory"}}),
        b'event: error\ndata: {"message": "x"}\n\n',
        b"data: {\n\n",
        event(chunk(finish_reason="abort")),
        b"data: " + b"x" * (1024 * 1024 + 1),
    ],
)
async def test_a_failure_in_the_stream_ends_it_after_what_came_before(
    backend: respx.MockRouter, client: LLMClient, failure: bytes
) -> None:
    backend.post("/chat/completions").mock(return_value=stream(event(chunk("a")), failure))
    received: list[str] = []
    with pytest.raises(UpstreamError):
        await collect(client, received=received)
    assert received == ["a"]


@pytest.mark.parametrize(
    ("status", "expected", "calls"),
    [
        (400, UpstreamRejected, 1),
        (422, UpstreamRejected, 1),
        (401, UpstreamError, 1),
        (403, UpstreamError, 1),
        (404, UpstreamError, 1),
        (418, UpstreamError, 1),
        (429, UpstreamRateLimited, 1),
        (500, UpstreamError, 1),
        (302, UpstreamError, 1),
        (502, UpstreamError, 2),
        (503, UpstreamUnavailable, 2),
        (504, UpstreamError, 2),
    ],
)
async def test_each_status_has_its_error_and_only_a_gateways_is_retried_once(
    backend: respx.MockRouter, client: LLMClient, status: int, expected: type[ServiceError], calls: int
) -> None:
    route = backend.post("/chat/completions").mock(return_value=httpx.Response(status))
    with pytest.raises(expected):
        await collect(client)
    assert route.call_count == calls


async def test_a_retry_that_succeeds_leaves_no_trace(backend: respx.MockRouter, client: LLMClient) -> None:
    backend.post("/chat/completions").mock(side_effect=[httpx.Response(503), stream(*answer("a"))])
    assert "".join(await collect(client)) == "a"


@pytest.mark.parametrize(
    ("error", "expected", "calls"),
    [
        (httpx.ConnectError("refused"), UpstreamUnavailable, 2),
        (httpx.ConnectTimeout("slow"), UpstreamUnavailable, 1),
        (httpx.PoolTimeout("slow"), UpstreamUnavailable, 1),
        (httpx.ReadError("reset"), UpstreamError, 2),
        (httpx.RemoteProtocolError("closed"), UpstreamError, 2),
    ],
)
async def test_refused_and_reset_connections_are_retried_once_and_slow_ones_are_not(
    backend: respx.MockRouter,
    client: LLMClient,
    error: Exception,
    expected: type[ServiceError],
    calls: int,
) -> None:
    route = backend.post("/chat/completions").mock(side_effect=error)
    with pytest.raises(expected):
        await collect(client)
    assert route.call_count == calls


def refusing(*names: str) -> Callable[[httpx.Request], httpx.Response]:
    """A backend that does not take parameters of these names."""

    def respond(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        for name in names:
            if name in body:
                return httpx.Response(
                    400, json={"error": {"message": UNSUPPORTED.format(name), "param": name}}
                )
        return stream(*answer("a"))

    return respond


async def test_a_refused_parameter_is_learnt_and_not_tried_again(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").mock(side_effect=refusing("stream_options", "max_tokens"))
    for _ in range(2):
        assert "".join(await collect(client)) == "a"
    last_of_first, only_of_second = sent(backend)[2:]
    assert last_of_first == only_of_second
    assert "stream_options" not in only_of_second
    assert only_of_second["max_completion_tokens"] == 64


async def test_a_parameter_that_a_fastapi_backend_forbids_is_learnt_too(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    forbidden = {"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}
    backend.post("/chat/completions").mock(
        side_effect=[httpx.Response(422, json={"detail": [forbidden]}), stream(*answer("a"))]
    )
    await collect(client)
    assert "stream_options" not in sent(backend)[-1]


async def test_a_parameter_that_another_model_refused_is_still_sent(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").mock(side_effect=refusing("max_tokens"))
    await collect(client)
    backend.post("/chat/completions").mock(return_value=stream(*answer("a")))
    await collect(client, CompletionRequest(model="other", messages=[], max_tokens=64, sampling={}))
    assert sent(backend)[-1]["max_tokens"] == 64


async def test_a_refusal_that_no_dialect_mends_is_told_in_its_first_words_and_not_learnt(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").respond(400, json={"error": {"message": "max_tokens must be even"}})
    for _ in range(2):
        with pytest.raises(UpstreamRejected, match="max_tokens must be even"):
            await collect(client)
    assert [body.get("max_tokens") for body in sent(backend)] == [64, 64]


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 2048 tokens.",
        "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Please reduce the length of the messages or completion.",
    ],
)
async def test_a_message_that_the_context_cannot_hold_has_a_code_of_its_own(
    backend: respx.MockRouter, client: LLMClient, text: str
) -> None:
    backend.post("/chat/completions").respond(400, json={"object": "error", "message": text})
    with pytest.raises(ContextLengthExceeded):
        await collect(client)


async def test_a_rejection_passes_on_the_words_and_no_address(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    text = "bad stop\nsee http://10.0.0.7:8000/secret"
    backend.post("/chat/completions").respond(400, json={"error": {"message": text}})
    with pytest.raises(UpstreamRejected) as caught:
        await collect(client)
    assert caught.value.message == "The model's backend rejected the request: bad stop see …"


@pytest.mark.parametrize("body", ["<html>nginx</html>", "", "Traceback (most recent call last)", "[7]", "{}"])
async def test_a_rejection_that_is_no_json_is_not_passed_on(
    backend: respx.MockRouter, client: LLMClient, body: str
) -> None:
    backend.post("/chat/completions").respond(400, text=body)
    with pytest.raises(UpstreamRejected) as caught:
        await collect(client)
    assert caught.value.message == UpstreamRejected.default_message


@pytest.mark.parametrize(
    ("sent_value", "expected"),
    [
        ("7", 7),
        ("0", 1),
        ("86400", 60),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1),
        ("Sun, 21 Oct 2418 07:28:00 GMT", 60),
        ("9" * 5000, None),
        ("soon", None),
        (None, None),
    ],
)
async def test_retry_after_is_passed_on_within_bounds(
    backend: respx.MockRouter, client: LLMClient, sent_value: str | None, expected: int | None
) -> None:
    headers = {} if sent_value is None else {"Retry-After": sent_value}
    backend.post("/chat/completions").respond(429, headers=headers)
    with pytest.raises(UpstreamRateLimited) as caught:
        await collect(client)
    assert caught.value.retry_after == expected


@pytest.mark.parametrize("status", [200, 307, 401, 403, 404, 405, 429])
async def test_the_probe_finds_a_backend_up_that_answers_at_all(
    backend: respx.MockRouter, client: LLMClient, status: int
) -> None:
    backend.get("/models").respond(status)
    await client.probe()


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_the_probe_finds_a_backend_that_is_broken_down(
    backend: respx.MockRouter, client: LLMClient, status: int
) -> None:
    backend.get("/models").respond(status)
    with pytest.raises(ServiceError):
        await client.probe()
