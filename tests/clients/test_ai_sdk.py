"""`examples/ai-sdk-transport.mjs` in the AI SDK's chat, and the SDK's provider for OpenAI's API."""

import asyncio

from tests.clients.conftest import Run
from tests.support.backend import Backend, Exchange
from tests.support.chunks import DONE, answer, chunk, event
from tests.support.proxy import Proxy
from tests.support.turns import PausedScript

SCRIPT = "ai_sdk.mjs"
WORDS = [f"word{n} " for n in range(50)]
PARTS = answer(*WORDS)
HALF = len(PARTS) // 2


async def test_an_answer_is_whole_though_the_line_is_cut(run: Run, proxy: Proxy, backend: Backend) -> None:
    backend.script = script = PausedScript(*PARTS[:HALF], rest=tuple(PARTS[HALF:]))
    proxy.slice_bytes = 7
    async with run(SCRIPT, "whole") as client:
        assert (await client.line())["text"].startswith("word0")
        proxy.refuse()
        proxy.reset()
        script.go_on.set()
        await proxy.accept()
        ended = await client.line()
        assert (ended["text"], ended["status"], ended["messages"]) == ("".join(WORDS), "ready", 2)
        assert await client.line() == {"remembered": 0}
        await client.end()
    assert len(backend.completions) == 1


async def test_a_page_that_is_reloaded_shows_the_answer_once(run: Run, backend: Backend) -> None:
    backend.script = script = PausedScript(*PARTS[:HALF], rest=tuple(PARTS[HALF:]))
    async with run(SCRIPT, "reload") as client:
        await client.line()
        assert await client.line() == "resumed"
        script.go_on.set()
        ended = await client.line()
        assert (ended["text"], ended["status"], ended["messages"]) == ("".join(WORDS), "ready", 2)
        await client.end()
    assert len(backend.completions) == 1


async def test_stop_stops_the_generation(run: Run, backend: Backend) -> None:
    backend.script = PausedScript(*PARTS[:HALF])
    async with run(SCRIPT, "stop") as client:
        await client.line()
        async with asyncio.timeout(3):
            await backend.completions[0].hung_up.wait()
        assert (await client.line())["status"] == "ready"
        assert await client.line() == {"remembered": 0}
        await client.end()


async def test_stop_before_the_first_token_stops_the_generation(run: Run, backend: Backend) -> None:
    asked = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        asked.set()
        await exchange.hung_up.wait()

    backend.script = script
    async with run(SCRIPT, "stop at once") as client:
        await asked.wait()
        client.go_on()
        assert await client.line() == "ready"
        async with asyncio.timeout(5):
            await backend.completions[0].hung_up.wait()
        await client.end()


async def test_tool_results_are_sent_back_and_the_answer_goes_on(run: Run, backend: Backend) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        if exchange.body["messages"][-1]["role"] == "tool":
            await exchange.send(*answer("It is ", "blue."))
            return
        part = chunk("")
        function = {"name": "weather", "arguments": '{"city":"Rome"}'}
        part["choices"][0]["delta"] = {
            "tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": function}]
        }
        await exchange.send(event(part), event(chunk(finish_reason="tool_calls")), DONE)

    backend.script = script
    async with run(SCRIPT, "tools") as client:
        assert await client.line() == {"toolCallId": "call_1", "input": {"city": "Rome"}}
        ended = await client.line()
        assert (ended["text"], ended["messages"]) == ("It is blue.", 2)
        await client.end()
    first, second = [exchange.body for exchange in backend.completions]
    assert first["tools"][0]["function"]["name"] == "weather"
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]
    assert second["messages"][1]["tool_calls"][0]["function"]["name"] == "weather"
    assert second["messages"][2] == {"role": "tool", "tool_call_id": "call_1", "content": '{"sky":"blue"}'}


async def test_a_refusal_is_told(run: Run, backend: Backend) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.json(400, {"error": {"message": "no such role"}})

    backend.script = refuse
    async with run(SCRIPT, "refused") as client:
        ended = await client.line()
        assert ended["status"] == "error"
        assert "no such role" in ended["error"]
        await client.end()


async def test_the_sdks_own_provider_streams(run: Run) -> None:
    async with run(SCRIPT, "provider") as client:
        assert await client.line() == {"text": "Hello, world", "tokens": 2}
        await client.end()
