"""What a model does not take is learnt from refusals, and changed only if the service added it."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import respx

from app.errors import UpstreamError, UpstreamRateLimited, UpstreamRejected
from app.llm.client import LLMClient
from app.llm.request import CompletionRequest
from tests.llm.test_client import COMPLETION, backend, client, collect, sent, stream
from tests.llm.test_refusals import CAPS, SYSTEM_ROLES
from tests.support.chunks import answer, chunk, event

__all__ = ["backend", "client"]

CHAT = CompletionRequest(
    model="m",
    messages=[
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "First"},
        {"role": "user", "content": "Two"},
    ],
    max_tokens=4096,
    sampling={},
)

Answers = Callable[[httpx.Request], httpx.Response]


def error(message: str, status: int = 400, **fields: Any) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message, **fields}})


def forbidden(*names: str) -> list[Any]:
    """A field error as FastAPI has it."""
    return [{"type": "extra_forbidden", "loc": ["body", *names], "msg": "Extra inputs are not permitted"}]


def in_stream(message: str) -> httpx.Response:
    return stream(b"event: error\n" + event({"error": {"message": message}}))


def refusing(is_refused: Callable[[Any], bool], refusal: httpx.Response) -> Answers:
    def respond(request: httpx.Request) -> httpx.Response:
        return refusal if is_refused(json.loads(request.content)) else stream(*answer("a"))

    return respond


def has_system(body: Any) -> bool:
    return any(message["role"] == "system" for message in body["messages"])


@pytest.mark.parametrize("words", SYSTEM_ROLES)
@pytest.mark.parametrize("shape", [error, in_stream, lambda words: error(words, 500)])
async def test_without_a_system_role_the_system_prompt_goes_before_the_first_user_message(
    backend: respx.MockRouter, client: LLMClient, words: str, shape: Callable[[str], httpx.Response]
) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        return shape(words) if has_system(json.loads(request.content)) else stream(*answer("a"))

    backend.post("/chat/completions").mock(side_effect=respond)
    for _ in range(2):
        assert "".join(await collect(client, CHAT)) == "a"
    first, second, third = sent(backend)
    assert has_system(first)
    assert second["messages"] == [
        {"role": "user", "content": "Be kind.\n\nOne"},
        {"role": "assistant", "content": "First"},
        {"role": "user", "content": "Two"},
    ]
    assert third == second
    assert CHAT.messages[0]["role"] == "system"


async def test_a_system_message_of_the_client_stays_where_it_is(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").mock(
        side_effect=refusing(has_system, error("System role not supported"))
    )
    request = CompletionRequest(
        model="m", messages=CHAT.messages, max_tokens=64, sampling={}, added=frozenset({"stream_options"})
    )
    with pytest.raises(UpstreamRejected, match="System role not supported"):
        await collect(client, request)
    assert len(sent(backend)) == 1


async def test_a_prompt_without_a_system_message_is_not_asked_twice(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").mock(return_value=error("Conversation roles must alternate"))
    with pytest.raises(UpstreamRejected):
        await collect(client, COMPLETION)
    assert len(sent(backend)) == 1


@pytest.mark.parametrize(("words", "largest"), [cap for cap in CAPS if cap[1] < 4096])
async def test_a_cap_that_the_service_added_is_lowered_to_what_the_model_takes(
    backend: respx.MockRouter, client: LLMClient, words: str, largest: int
) -> None:
    backend.post("/chat/completions").mock(
        side_effect=refusing(lambda body: body["max_tokens"] > largest, error(words))
    )
    for _ in range(2):
        assert "".join(await collect(client, CHAT)) == "a"
    assert [body["max_tokens"] for body in sent(backend)] == [4096, largest, largest]


async def test_a_cap_that_the_client_sent_is_its_own_business(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    words = "This model supports at most 2048 completion tokens"
    backend.post("/chat/completions").mock(return_value=error(words))
    request = CompletionRequest(
        model="m", messages=[], max_tokens=4096, sampling={}, added=frozenset({"system", "stream_options"})
    )
    with pytest.raises(UpstreamRejected, match="at most 2048"):
        await collect(client, request)
    assert len(sent(backend)) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        error("Unsupported value: 'temperature' does not support 0.5 with this model.", param="temperature"),
        httpx.Response(400, json=[{"error": {"message": 'Unknown name "temperature": Cannot find field.'}}]),
        httpx.Response(
            422, json={"detail": [{"loc": ["body", "temperature"], "msg": "Extra inputs are not permitted"}]}
        ),
        in_stream("temperature is not supported"),
        httpx.Response(200, json={"error": {"message": "temperature is not supported"}}),
    ],
)
async def test_a_parameter_of_the_client_is_its_own_business(
    backend: respx.MockRouter, client: LLMClient, refusal: httpx.Response
) -> None:
    backend.post("/chat/completions").mock(return_value=refusal)
    with pytest.raises(UpstreamRejected, match="temperature"):
        await collect(client)
    assert [body["temperature"] for body in sent(backend)] == [0.5]


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        # Mistral's three shapes, https://github.com/openai/openai-agents-python/issues/442
        (
            "stream_options",
            {"object": "error", "message": {"detail": forbidden("stream_options", "include_usage")}},
        ),
        ("stream_options", {"message": json.dumps({"detail": forbidden("stream_options")})}),
        ("stream_options", {"detail": forbidden("stream_options")}),
        # Groq, https://github.com/vercel/ai/pull/1578
        ("stream_options", {"error": {"message": "property 'stream_options' is unsupported"}}),
        ("stream_options", {"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
        ("max_tokens", {"error": {"message": "'max_tokens': use 'max_completion_tokens' instead."}}),
        ("max_tokens", {"error": {"message": "No.", "code": "unsupported_parameter", "param": "max_tokens"}}),
        # https://github.com/1Panel-dev/MaxKB/issues/2912
        ("max_tokens", {"message": "[{'type': 'extra_forbidden', 'loc': ('body', 'max_tokens')}]"}),
    ],
)
async def test_a_parameter_that_the_service_added_is_adapted(
    backend: respx.MockRouter, client: LLMClient, name: str, refusal: dict[str, Any]
) -> None:
    backend.post("/chat/completions").mock(
        side_effect=refusing(lambda body: name in body, httpx.Response(400, json=refusal))
    )
    for _ in range(2):
        assert "".join(await collect(client)) == "a"
    bodies = sent(backend)
    assert len(bodies) == 3
    assert name not in bodies[-1]
    assert bodies[-1].get("max_tokens") or bodies[-1]["max_completion_tokens"] == 64


async def test_what_was_learnt_for_one_model_is_not_for_another(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").mock(
        side_effect=refusing(has_system, error("System role not supported"))
    )
    await collect(client, CHAT)
    backend.post("/chat/completions").mock(return_value=stream(*answer("a")))
    other = CompletionRequest(model="other", messages=CHAT.messages, max_tokens=4096, sampling={})
    await collect(client, other)
    assert has_system(sent(backend)[-1])


async def test_a_guess_that_does_not_help_is_not_remembered(
    backend: respx.MockRouter, client: LLMClient
) -> None:
    backend.post("/chat/completions").mock(return_value=in_stream("System role not supported"))
    for _ in range(2):
        with pytest.raises(UpstreamRejected, match="System role not supported"):
            await collect(client, CHAT)
    assert [has_system(body) for body in sent(backend)] == [True, False, True, False]


async def test_after_content_nothing_is_asked_again(backend: respx.MockRouter, client: LLMClient) -> None:
    failure = event({"error": {"message": "System role not supported at http://10.0.0.1/x"}})
    backend.post("/chat/completions").mock(return_value=stream(event(chunk("a")), failure))
    received: list[str] = []
    with pytest.raises(UpstreamError) as caught:
        await collect(client, CHAT, received=received)
    assert caught.value.message == "The model's backend failed: System role not supported at …"
    assert received == ["a"]
    assert len(sent(backend)) == 1


@pytest.mark.parametrize(
    "words", ["stream_options: rate limit exceeded", "max_tokens not allowed: too many requests"]
)
async def test_a_backend_that_is_busy_is_not_asked_in_another_dialect(
    backend: respx.MockRouter, client: LLMClient, words: str
) -> None:
    backend.post("/chat/completions").mock(return_value=error(words, 429, code="rate_limit_exceeded"))
    with pytest.raises(UpstreamRateLimited):
        await collect(client)
    assert len(sent(backend)) == 1
