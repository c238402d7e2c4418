"""How a model's context size is found."""

from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from app.errors import ContextLengthExceeded
from app.llm.client import CompletionRequest, LLMClient, open_http_client
from app.llm.context import ContextSize
from app.llm.deadlines import TimeLimits

LIMITS = TimeLimits(connect=1, first_token=5, token_gap=5, total=10)
UNKNOWN = ContextSize(None, 4096)
COMPLETION = CompletionRequest(
    model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=64, sampling={}
)


@pytest.fixture
def backend() -> respx.MockRouter:
    router = respx.MockRouter(base_url="http://backend.test/", assert_all_called=False)
    router.get("/v1/models").respond(200, json={"object": "list", "data": [{"id": "m", "object": "model"}]})
    router.get("/props").respond(404)
    return router


@pytest.fixture
async def http(backend: respx.MockRouter) -> AsyncIterator[httpx.AsyncClient]:
    async with open_http_client(
        base_url="http://backend.test/v1",
        api_key="",
        limits=LIMITS,
        transport=httpx.MockTransport(backend.async_handler),
    ) as http:
        yield http


async def size(http: httpx.AsyncClient, configured: int | None = None) -> ContextSize:
    return await LLMClient(http, limits=LIMITS, context_tokens=configured).context_sizes.of("m")


async def test_what_is_configured_counts_and_the_backend_is_not_asked(
    http: httpx.AsyncClient, backend: respx.MockRouter
) -> None:
    assert await size(http, 512) == ContextSize(512, 512)
    assert not backend.calls


async def test_vllm_tells_it_with_its_models(http: httpx.AsyncClient, backend: respx.MockRouter) -> None:
    listed = [{"id": "other", "max_model_len": 7}, {"id": "m", "max_model_len": 2048}]
    backend.get("/v1/models").respond(200, json={"data": listed})
    assert await size(http) == ContextSize(2048, 2048)


async def test_llama_cpp_tells_it_with_its_properties(
    http: httpx.AsyncClient, backend: respx.MockRouter
) -> None:
    backend.get("/props").respond(200, json={"default_generation_settings": {"n_ctx": 8192}})
    assert await size(http) == ContextSize(8192, 8192)


@pytest.mark.parametrize(
    "body", ["<html>", "[]", '{"data": 7}', '{"data": [{"id": "m", "max_model_len": "x"}]}']
)
async def test_anything_else_tells_nothing(
    http: httpx.AsyncClient, backend: respx.MockRouter, body: str
) -> None:
    backend.get("/v1/models").respond(200, text=body)
    backend.get("/props").respond(200, text=body)
    assert await size(http) == UNKNOWN


@pytest.mark.parametrize("failure", [httpx.Response(503), httpx.ConnectError("refused")])
async def test_a_backend_that_is_not_there_is_asked_again_later_and_not_by_every_turn(
    http: httpx.AsyncClient, backend: respx.MockRouter, failure: httpx.Response | Exception
) -> None:
    route = backend.get("/v1/models").mock(side_effect=[failure])
    sizes = LLMClient(http, limits=LIMITS).context_sizes
    assert [await sizes.of("m") for _ in range(3)] == [UNKNOWN] * 3
    assert route.call_count == 1


async def test_the_backend_is_asked_once_for_many_turns(
    http: httpx.AsyncClient, backend: respx.MockRouter
) -> None:
    sizes = LLMClient(http, limits=LIMITS).context_sizes
    for _ in range(5):
        await sizes.of("m")
    assert len(backend.calls) == 2


@pytest.mark.parametrize(
    "refusal",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens.",
        "'max_completion_tokens' is too large: 9. This model's maximum context length is 2048 tokens",
        "max_tokens=4097 cannot be greater than max_model_len=2048. Please request fewer output tokens.",
        "request (3000 tokens) exceeds the available context size (2048 tokens), try increasing it",
    ],
)
async def test_a_refusal_that_names_the_size_is_learnt_from_at_once(
    http: httpx.AsyncClient, backend: respx.MockRouter, refusal: str
) -> None:
    asked = backend.post("/v1/chat/completions").respond(400, json={"error": {"message": refusal}})
    llm = LLMClient(http, limits=LIMITS, context_tokens=4096)
    with pytest.raises(ContextLengthExceeded):
        async with llm.stream(COMPLETION):
            pass
    assert asked.call_count == 1
    assert await llm.context_sizes.of("m") == ContextSize(4096, 2048)
    llm.context_sizes.accepted("m", 2000)
    assert await llm.context_sizes.of("m") == ContextSize(4096, 2048)
    # A backend that took a longer prompt has meant something else.
    llm.context_sizes.accepted("m", 2100)
    assert await llm.context_sizes.of("m") == ContextSize(4096, 4096)


async def test_a_refusal_that_names_something_else_teaches_no_size(
    http: httpx.AsyncClient, backend: respx.MockRouter
) -> None:
    refusal = "prompt too long; exceeded max context length by 20 tokens"
    backend.post("/v1/chat/completions").respond(400, json={"error": refusal})
    llm = LLMClient(http, limits=LIMITS, context_tokens=4096)
    with pytest.raises(ContextLengthExceeded):
        async with llm.stream(COMPLETION):
            pass
    assert await llm.context_sizes.of("m") == ContextSize(4096, 4096)
