"""`/v1`, asked by OpenAI's package for Node.js."""

import asyncio
from typing import Any

from tests.clients.conftest import Run
from tests.support.backend import Backend, Exchange
from tests.support.chunks import DONE, answer, chunk, event


def of_choice(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    return event(chunk(choices=[{"index": index, "delta": delta, "finish_reason": finish_reason}]))


async def test_it_lists_models_and_chats(run: Run, backend: Backend) -> None:
    async with run("openai_node.mjs", "answers") as client:
        assert await client.line() == ["org/other", "test-model"]
        assert await client.line() == "org/other"
        assert (await client.line())["content"] == "Hello, world"
        streamed = await client.line()
        assert streamed["text"] == "Hello, world"
        assert len(streamed["turn"]) == 32
        await client.end()
    assert backend.completions[-1].body["messages"][0]["content"][0]["type"] == "image_url"
    assert not [name for name in backend.completions[-1].headers if name.startswith("x-stainless")]


async def test_tool_calls_are_whole_streamed_and_not(run: Run, backend: Backend) -> None:
    function = {"name": "weather", "arguments": ""}

    async def script(exchange: Exchange) -> None:
        begin = {"index": 0, "id": "call_1", "type": "function", "function": function}
        await exchange.head()
        await exchange.send(
            of_choice(0, {"role": "assistant", "tool_calls": [begin]}),
            of_choice(0, {"tool_calls": [{"index": 0, "function": {"arguments": '{"city":'}}]}),
            of_choice(0, {"tool_calls": [{"index": 0, "function": {"arguments": '"Rome"}'}}]}),
            of_choice(0, {}, "tool_calls"),
            DONE,
        )

    backend.script = script
    async with run("openai_node.mjs", "tools") as client:
        for _ in range(2):
            [call] = await client.line()
            assert (call["id"], call["function"]["name"]) == ("call_1", "weather")
            assert call["function"]["arguments"] == '{"city":"Rome"}'
        await client.end()


async def test_two_choices_are_streamed_side_by_side(run: Run, backend: Backend) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for index in range(2):
            await exchange.send(of_choice(index, {"role": "assistant", "content": f"answer {index}"}))
            await exchange.send(of_choice(index, {}, "stop"))
        await exchange.send(DONE)

    backend.script = script
    async with run("openai_node.mjs", "choices") as client:
        assert await client.line() == ["answer 0", "answer 1"]
        await client.end()


async def test_responses_are_streamed_replayed_and_kept_in_conversations(run: Run, backend: Backend) -> None:
    async with run("openai_node.mjs", "responses") as client:
        ended = {"text": "Hello, world", "status": "completed", "last": "response.completed"}
        assert await client.line() == ended
        assert await client.line() is True
        assert await client.line() == "Hello, world"
        assert await client.line() == ["user", "assistant"]
        assert await client.line() == ["message"]
        await client.end()
    sent = backend.completions[-1].body
    assert [message["content"] for message in sent["messages"]] == ["Hi", "Hello, world", "Weather?"]
    assert sent["tools"][0]["function"]["name"] == "weather"


async def _until_it_is_left(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.send(answer("Hello")[0])
    await exchange.hung_up.wait()


async def test_a_background_response_is_cancelled(run: Run, backend: Backend) -> None:
    backend.script = _until_it_is_left
    async with run("openai_node.mjs", "background") as client:
        assert [await client.line() for _ in range(2)] == ["cancelled", "cancelled"]
        assert backend.completions[0].hung_up.is_set()
        await client.end()


async def test_failures_are_the_exceptions_that_it_has_for_them(run: Run, backend: Backend) -> None:
    async def break_off(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(event(chunk("Hel")), event({"error": {"message": "worker died"}}))

    backend.script = break_off
    async with run("openai_node.mjs", "failures") as client:
        wrong_key, unknown, empty, broken = [await client.line() for _ in range(4)]
        await client.end()
    assert (wrong_key["kind"], wrong_key["code"]) == ("AuthenticationError", "invalid_api_key")
    assert (unknown["kind"], unknown["code"]) == ("NotFoundError", "model_not_found")
    assert (empty["kind"], empty["param"]) == ("BadRequestError", "messages")
    assert (broken["kind"], broken["code"]) == ("APIError", "upstream_error")
    assert "worker died" in broken["message"]


async def test_leaving_the_loop_stops_the_generation(run: Run, backend: Backend) -> None:
    backend.script = _until_it_is_left
    async with run("openai_node.mjs", "leaving") as client:
        assert await client.line() == "left"
        async with asyncio.timeout(3):
            await backend.completions[0].hung_up.wait()
        client.go_on()
        await client.end()
