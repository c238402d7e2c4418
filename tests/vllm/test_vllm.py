"""In front of a real vLLM: what it sends is relayed, what it refuses is told, and left alone it stops."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.sse import chat, events
from tests.support.turns import begin, turn_of
from tests.vllm.conftest import Serve
from tests.vllm.server import MODEL, Vllm, started_vllm
from tests.vllm.tiny_model import WINDOW

pytestmark = [
    pytest.mark.vllm,
    # vLLM starts within a test's time, and needs most of a minute for it.
    pytest.mark.timeout(900),
]

LONG = 15_000
"""So many tokens take a minute or more. An answer ends by nothing else: see tiny_model."""


async def stored(client: httpx.AsyncClient, user: str) -> list[dict[str, Any]]:
    """The user's conversation, once no turn of it runs any more."""
    while True:
        response = await client.get(f"/users/{user}/conversations/default")
        if response.is_success and response.json()["active_turn"] is None:
            messages: list[dict[str, Any]] = response.json()["messages"]
            return messages
        await asyncio.sleep(0.05)


async def works_on(vllm: Vllm, requests: int) -> None:
    """Wait until vLLM works on so many requests."""
    while await asyncio.to_thread(vllm.running) != requests:
        await asyncio.sleep(0.05)


async def test_a_turn_streams_to_its_end_and_is_stored_with_the_usage_that_vllm_counted(
    serve: Serve, vllm: Vllm, user: str
) -> None:
    async with serve(vllm) as client:
        *received, usage, end = await chat(
            client, user_id=user, max_tokens=20, stream_options={"include_usage": True}
        )
        question, answer = await stored(client, user)
    assert end.data == "[DONE]"
    numbers = [event.id.rpartition("-")[2] for event in [*received, usage, end]]
    assert numbers == [*map(str, range(1, len(numbers))), "end"]
    assert question["content"] == "Hi"
    assert answer["content"] == "".join(event.content for event in received)
    assert (answer["status"], answer["finish_reason"]) == ("complete", "length")
    assert (answer["usage"], answer["usage_estimated"]) == (usage.json["usage"], False)
    assert answer["usage"]["completion_tokens"] == 20


async def test_a_turn_that_its_user_stops_is_aborted_in_vllm(serve: Serve, vllm: Vllm, user: str) -> None:
    before = vllm.generated()
    async with serve(vllm, llm_max_tokens=LONG) as client:
        reading = begin(client, user)
        turn = turn_of(await anext(reading))
        await works_on(vllm, 1)
        assert (await client.delete(f"/chat/{turn}")).json()["status"] == "stopped"
        *_, end = [event async for event in reading]
        await works_on(vllm, 0)
        _, answer = await stored(client, user)
    assert end.data == "[DONE]"
    assert vllm.generated() - before < LONG
    assert answer["status"] == "stopped"


async def test_a_turn_that_its_last_reader_leaves_is_aborted_in_vllm_where_no_grace_is_given(
    serve: Serve, vllm: Vllm, user: str
) -> None:
    before = vllm.generated()
    async with serve(vllm, llm_max_tokens=LONG, resume_grace_seconds=0) as client:
        async with client.stream("POST", "/chat", json={"user_id": user, "message": "Hi"}) as response:
            await anext(events(response))
            await works_on(vllm, 1)
        await works_on(vllm, 0)
        _, answer = await stored(client, user)
    assert vllm.generated() - before < LONG
    assert answer["status"] == "interrupted"


@pytest.mark.parametrize(
    "characters",
    [
        pytest.param(WINDOW + 1, id="by its tokens"),
        pytest.param(3 * WINDOW, id="by its characters"),
    ],
)
async def test_a_message_that_does_not_fit_the_window_is_refused_and_leaves_nothing(
    serve: Serve, vllm: Vllm, user: str, characters: int
) -> None:
    async with serve(vllm, max_message_chars=characters) as client:
        response = await client.post("/chat", json={"user_id": user, "message": "x" * characters})
        kept = await client.get(f"/users/{user}/conversations/default")
    assert (response.status_code, response.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert kept.status_code == 404


def test_vllm_tells_the_window_with_its_models(vllm: Vllm) -> None:
    models = vllm.http.get("/v1/models").json()["data"]
    assert [(model["id"], model["max_model_len"]) for model in models] == [(MODEL, WINDOW)]


async def test_vllm_is_unavailable_until_it_has_loaded_and_rejects_a_chat_without_a_template(
    serve: Serve, tmp_path: Path, user: str
) -> None:
    question = {"user_id": user, "message": "Hi"}
    with started_vllm(tmp_path, with_chat_template=False) as vllm:
        async with serve(vllm) as client:
            probed = await client.get("/ready")
            refused = await client.post("/chat", json=question)
            await asyncio.to_thread(vllm.wait_until_loaded)
            while (await client.get("/ready")).status_code == 503:
                await asyncio.sleep(0.1)
            rejected = await client.post("/chat", json=question)
    assert (probed.status_code, probed.json()["checks"]["llm"]["status"]) == (503, "down")
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert (rejected.status_code, rejected.json()["error"]["code"]) == (400, "upstream_rejected")
    assert "chat template" in rejected.json()["error"]["message"]
