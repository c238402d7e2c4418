"""`POST /chat` from the outside, where it does not matter when each event leaves."""

import json
from typing import Any

import httpx
import pytest
import respx
from redis.asyncio import Redis

from tests.support.chunks import DONE, answer, chunk, event, usage_chunk
from tests.support.sse import Received, chat, events

KEY = "chat:{user}:messages:default"


async def kept(redis: Redis, key: str = KEY) -> list[dict[str, Any]]:
    return [json.loads(element) for element in await redis.lrange(key, 0, -1)]


def prompt(llm: respx.MockRouter) -> list[dict[str, str]]:
    messages: list[dict[str, str]] = json.loads(llm.calls.last.request.content)["messages"]
    return messages


def replies(llm: respx.MockRouter, *parts: bytes) -> None:
    llm.post("/chat/completions").respond(
        200, headers={"Content-Type": "text/event-stream"}, content=b"".join(parts)
    )


async def test_each_chunk_is_one_numbered_event_and_done_is_the_last(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/chat", json={"user_id": "user", "message": "Hi"}) as response:
        received = [event async for event in events(response)]
    turn_id = response.headers["x-turn-id"]
    assert [event.id for event in received] == [f"{turn_id}-{n}" for n in (1, 2, 3, "end")]
    assert [event.content for event in received[:-1]] == ["", "Hello", ""]
    assert received[-1].data == "[DONE]"


async def test_the_headers_keep_proxies_and_caches_away(client: httpx.AsyncClient) -> None:
    response = await client.post("/chat", json={"user_id": "user", "message": "Hi"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["location"] == f"/chat/{response.headers['x-turn-id']}"
    assert response.headers["x-request-id"]


async def test_the_chunks_json_is_the_backends_own(client: httpx.AsyncClient, llm: respx.MockRouter) -> None:
    odd = '{ "choices":[{"delta":{"content":"a\u2028b"},"logprobs":null}],"x":1.0, "e":"\\u00e9" }'
    replies(llm, f"data: {odd}\n\n".encode(), event(chunk(finish_reason="stop")), DONE)
    response = await client.post("/chat", json={"user_id": "user", "message": "Hi"})
    assert f"\ndata: {odd}\n\n".encode() in response.content


async def test_the_turn_is_kept_with_its_text_alone(client: httpx.AsyncClient, fake_redis: Redis) -> None:
    received = await chat(client, "Who are you?")
    question, reply = await kept(fake_redis)
    turn_id = received[0].id.rpartition("-")[0]
    assert question == {
        "role": "user",
        "content": "Who are you?",
        "turn_id": turn_id,
        "created_at": question["created_at"],
    }
    assert reply == {
        "role": "assistant",
        "content": "Hello",
        "turn_id": turn_id,
        "created_at": reply["created_at"],
        "status": "complete",
        "model": "test-model",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
        "usage_estimated": False,
    }


async def test_the_next_prompt_holds_the_conversation_so_far(
    client: httpx.AsyncClient, llm: respx.MockRouter
) -> None:
    await chat(client, "One")
    await chat(client, "Two")
    assert prompt(llm) == [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Two"},
    ]


@pytest.mark.parametrize("other", [{"user_id": "someone-else"}, {"conversation_id": "another"}])
async def test_no_other_user_and_no_other_conversation_is_in_the_prompt(
    client: httpx.AsyncClient, llm: respx.MockRouter, other: dict[str, str]
) -> None:
    await chat(client, "One")
    await chat(client, "Two", **other)
    assert [message["content"] for message in prompt(llm)[1:]] == ["Two"]


async def test_usage_is_relayed_only_if_asked_for(client: httpx.AsyncClient, fake_redis: Redis) -> None:
    def with_usage(received: list[Received]) -> int:
        return sum("usage" in event.json for event in received[:-1])

    assert with_usage(await chat(client)) == 0
    assert with_usage(await chat(client, stream_options={"include_usage": False})) == 0
    assert with_usage(await chat(client, stream_options={"include_usage": True})) == 1
    assert all(message["usage"] for message in await kept(fake_redis) if message["role"] == "assistant")


async def test_sampling_parameters_are_handed_on_and_max_tokens_is_capped(
    client: httpx.AsyncClient, llm: respx.MockRouter
) -> None:
    asked: dict[str, Any] = {
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["\n"],
        "seed": 7,
        "presence_penalty": -1,
        "frequency_penalty": 1.5,
    }
    await chat(client, max_tokens=10_000, **asked)
    sent = json.loads(llm.calls.last.request.content)
    assert {name: sent[name] for name in asked} == asked
    assert sent["max_tokens"] == 100
    await chat(client, max_tokens=5)
    assert json.loads(llm.calls.last.request.content)["max_tokens"] == 5


async def test_reasoning_and_tool_calls_are_relayed_and_not_kept_as_text(
    client: httpx.AsyncClient, llm: respx.MockRouter, fake_redis: Redis
) -> None:
    thinking, calling = chunk(), chunk()
    thinking["choices"][0]["delta"] = {"reasoning_content": "hm"}
    calling["choices"][0]["delta"] = {"tool_calls": [{"index": 0, "id": "x"}]}
    replies(llm, *(event(body) for body in (thinking, calling)), *answer("Hi"))
    received = await chat(client)
    assert [event.json for event in received[:2]] == [thinking, calling]
    assert (await kept(fake_redis))[1]["content"] == "Hi"


async def test_a_character_split_over_two_chunks_is_kept_whole(
    client: httpx.AsyncClient, llm: respx.MockRouter, fake_redis: Redis
) -> None:
    replies(llm, event(chunk("\ud83d")), event(chunk("\udc22 \ud83d")), event(chunk(finish_reason="stop")))
    await chat(client)
    assert (await kept(fake_redis))[1]["content"] == "🐢 \ufffd"


async def test_an_answer_that_breaks_off_ends_with_an_error_and_is_kept_as_one(
    client: httpx.AsyncClient, llm: respx.MockRouter, fake_redis: Redis
) -> None:
    replies(llm, event(chunk("Hel")))
    received = await chat(client)
    end = received[-1]
    assert end.id.endswith("-end")
    assert end.json["error"]["code"] == "upstream_truncated"
    assert end.json["error"]["request_id"]
    question, reply = await kept(fake_redis)
    assert (question["content"], reply["content"], reply["status"]) == ("Hi", "Hel", "error")


async def test_an_empty_answer_is_kept_and_its_turn_is_left_out_of_the_next_prompt(
    client: httpx.AsyncClient, llm: respx.MockRouter, fake_redis: Redis
) -> None:
    replies(llm, event(chunk("")), event({"error": {"message": "boom"}}))
    assert (await chat(client, "One"))[-1].json["error"]["code"] == "upstream_error"
    assert len(await kept(fake_redis)) == 2
    replies(llm, *answer("Hello"))
    await chat(client, "Two")
    assert [message["content"] for message in prompt(llm)[1:]] == ["Two"]


@pytest.mark.parametrize(
    ("status", "expected_status", "code"),
    [
        (400, 400, "upstream_rejected"),
        (401, 502, "upstream_error"),
        (404, 502, "upstream_error"),
        (429, 429, "upstream_rate_limited"),
        (500, 502, "upstream_error"),
        (503, 503, "upstream_unavailable"),
    ],
)
async def test_what_fails_before_the_first_event_is_a_status_and_leaves_nothing_behind(
    client: httpx.AsyncClient,
    llm: respx.MockRouter,
    fake_redis: Redis,
    status: int,
    expected_status: int,
    code: str,
) -> None:
    llm.post("/chat/completions").respond(status, text="<html>secret</html>")
    response = await client.post("/chat", json={"user_id": "user", "message": "Hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (expected_status, code)
    assert ("retry-after" in response.headers) == (expected_status in (429, 503))
    assert "secret" not in response.text
    assert await fake_redis.keys("*") == []


async def test_a_usage_chunk_alone_is_no_answer(client: httpx.AsyncClient, llm: respx.MockRouter) -> None:
    replies(llm, event(usage_chunk()), DONE)
    response = await client.post("/chat", json={"user_id": "user", "message": "Hi"})
    assert response.status_code == 502
