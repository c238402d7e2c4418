"""How a model's context size is found."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import respx

from app.errors import ContextLengthExceeded
from app.llm.client import LLMClient
from app.llm.context import ContextSize, ContextSizes
from app.llm.deadlines import TimeLimits
from app.llm.endpoint import Endpoint
from app.llm.request import CompletionRequest

LIMITS = TimeLimits(connect=1, first_token=5, token_gap=5, total=10)
UNKNOWN = ContextSize(None)
COMPLETION = CompletionRequest(
    model="m", messages=[{"role": "user", "content": "Hi"}], max_tokens=64, sampling={}
)


@pytest.fixture
def backend() -> respx.MockRouter:
    router = respx.MockRouter(base_url="http://backend.test/", assert_all_called=False)
    router.get("/v1/models").respond(200, json={"object": "list", "data": [{"id": "m", "object": "model"}]})
    for path in ("/props", "/api/v0/models", "/api/ps", "/info"):
        router.get(path).respond(404)
    return router


@pytest.fixture
async def endpoint(backend: respx.MockRouter) -> AsyncIterator[Endpoint]:
    async with Endpoint(
        base_url="http://backend.test/v1",
        api_key="",
        limits=LIMITS,
        transport=httpx.MockTransport(backend.async_handler),
    ) as endpoint:
        yield endpoint


@asynccontextmanager
async def watched(endpoint: Endpoint) -> AsyncIterator[ContextSizes]:
    """The sizes, with the backend being asked for them."""
    sizes = ContextSizes(endpoint, configured=None)
    watch = asyncio.create_task(sizes.watch())
    yield sizes
    watch.cancel()


async def size(endpoint: Endpoint) -> ContextSize:
    async with watched(endpoint) as sizes:
        return await sizes.of("m")


async def refuse(llm: LLMClient) -> None:
    with pytest.raises(ContextLengthExceeded):
        await llm.stream(COMPLETION, lambda _: None, began=asyncio.get_running_loop().time())


async def test_what_is_configured_counts_and_the_backend_is_not_asked(
    endpoint: Endpoint, backend: respx.MockRouter
) -> None:
    sizes = ContextSizes(endpoint, configured=512)
    assert await sizes.of("m") == ContextSize(512)
    assert not backend.calls


async def test_vllm_tells_it_with_its_models(endpoint: Endpoint, backend: respx.MockRouter) -> None:
    listed = [{"id": "other", "max_model_len": 7}, {"id": "m", "max_model_len": 2048}]
    backend.get("/v1/models").respond(200, json={"data": listed})
    assert await size(endpoint) == ContextSize(2048)


async def test_llama_cpp_tells_it_with_its_properties(endpoint: Endpoint, backend: respx.MockRouter) -> None:
    backend.get("/props").respond(200, json={"default_generation_settings": {"n_ctx": 8192}})
    assert await size(endpoint) == ContextSize(8192)


async def test_lm_studio_tells_it_beside_its_openai_part(
    endpoint: Endpoint, backend: respx.MockRouter
) -> None:
    listed = [{"id": "m", "state": "loaded", "max_context_length": 131072, "loaded_context_length": 4096}]
    backend.get("/api/v0/models").respond(200, json={"object": "list", "data": listed})
    assert await size(endpoint) == ContextSize(4096)


async def test_ollama_tells_it_of_models_that_it_has_loaded_and_of_others(
    endpoint: Endpoint, backend: respx.MockRouter
) -> None:
    backend.get("/v1/models").respond(200, json={"data": [{"id": "m:latest"}, {"id": "loaded:latest"}]})
    running = {"name": "loaded:latest", "model": "loaded:latest", "context_length": 4096}
    backend.get("/api/ps").respond(200, json={"models": [running]})
    shown = {"model_info": {"llama.context_length": 131072}, "parameters": "num_ctx 16384"}
    asked = backend.post("/api/show").respond(200, json=shown)
    async with watched(endpoint) as sizes:
        assert await sizes.of("m") == ContextSize(16384)
        assert await sizes.of("loaded") == ContextSize(4096)
    shown_models = {json.loads(call.request.content)["model"] for call in asked.calls}
    assert shown_models >= {"m:latest", "loaded:latest"}


async def test_text_generation_inference_tells_it_with_its_info(
    endpoint: Endpoint, backend: respx.MockRouter
) -> None:
    backend.get("/info").respond(
        200, json={"model_id": "x", "max_input_tokens": 1024, "max_total_tokens": 2048}
    )
    assert await size(endpoint) == ContextSize(2048)


async def test_a_compressed_or_endless_answer_tells_nothing(
    endpoint: Endpoint, backend: respx.MockRouter
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"data": ['
        while True:
            yield b" " * 65536

    backend.get("/v1/models").mock(side_effect=lambda _: httpx.Response(200, content=endless()))
    bomb = gzip.compress(b'{"default_generation_settings": {"n_ctx": 8192}}')
    backend.get("/props").respond(200, headers={"Content-Encoding": "gzip"}, content=bomb)
    assert await size(endpoint) == UNKNOWN


@pytest.mark.parametrize(
    "body", ["<html>", "[]", '{"data": 7}', '{"data": [{"id": "m", "max_model_len": "x"}]}']
)
async def test_anything_else_tells_nothing(endpoint: Endpoint, backend: respx.MockRouter, body: str) -> None:
    backend.get("/v1/models").respond(200, text=body)
    backend.get("/props").respond(200, text=body)
    assert await size(endpoint) == UNKNOWN


@pytest.mark.parametrize("size_reported", [-1, 0, 7, 10**400, True, "4096", 4096.0])
async def test_what_can_be_no_size_is_none(
    endpoint: Endpoint, backend: respx.MockRouter, size_reported: object
) -> None:
    listed = [{"id": "m", "max_model_len": size_reported}]
    backend.get("/v1/models").respond(200, content=json.dumps({"data": listed}))
    assert await size(endpoint) == UNKNOWN


@pytest.mark.parametrize("failure", [httpx.Response(503), httpx.ConnectError("refused")])
async def test_turns_do_not_wait_for_a_backend_that_is_not_there(
    endpoint: Endpoint, backend: respx.MockRouter, failure: httpx.Response | Exception
) -> None:
    route = backend.get("/v1/models").mock(side_effect=[failure])
    async with watched(endpoint) as sizes:
        assert [await sizes.of("m") for _ in range(3)] == [UNKNOWN] * 3
    assert route.call_count == 1


@pytest.mark.parametrize(
    "refusal",
    [
        "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens.",
        "'max_completion_tokens' is too large: 9. This model's maximum context length is 2048 tokens",
        "This model's maximum context length is 2,048 tokens.",
        "Input is longer than the maximum model length of 2048.",
        "max_tokens=4097 cannot be greater than max_model_len=2048. Please request fewer output tokens.",
        "request (3000 tokens) exceeds the available context size (2048 tokens), try increasing it",
    ],
)
async def test_a_refusal_that_names_the_size_is_learnt_from_at_once(
    endpoint: Endpoint, backend: respx.MockRouter, refusal: str
) -> None:
    asked = backend.post("/v1/chat/completions").respond(400, json={"error": {"message": refusal}})
    llm = LLMClient(endpoint, limits=LIMITS, context_tokens=4096)
    await refuse(llm)
    assert asked.call_count == 1
    assert await llm.context_sizes.of("m") == ContextSize(4096, learnt=2048)
    llm.context_sizes.accepted("m", 2000)
    assert (await llm.context_sizes.of("m")).likely == 2048
    # A backend that took a longer prompt has meant something else.
    llm.context_sizes.accepted("m", 2100)
    assert await llm.context_sizes.of("m") == ContextSize(4096)


@pytest.mark.parametrize(
    "refusal",
    [
        "prompt too long; exceeded max context length by 2000 tokens",
        "exceeded context window, request 700 of 900",
        "the context length is 2 tokens",
        f"the context length is {'9' * 5000} tokens",
    ],
)
async def test_a_refusal_that_names_something_else_teaches_no_size(
    endpoint: Endpoint, backend: respx.MockRouter, refusal: str
) -> None:
    backend.post("/v1/chat/completions").respond(400, json={"error": refusal})
    llm = LLMClient(endpoint, limits=LIMITS, context_tokens=4096)
    await refuse(llm)
    assert await llm.context_sizes.of("m") == ContextSize(4096)
