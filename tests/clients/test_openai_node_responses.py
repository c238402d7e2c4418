"""`/v1/responses` and `/v1/conversations`, asked by OpenAI's package for Node.js."""

from tests.clients.conftest import Run
from tests.support.backend import Backend, Exchange
from tests.support.chunks import answer, chunk, event
from tests.support.proxy import Proxy
from tests.support.responses import calls
from tests.support.turns import PausedScript

SCRIPT = "openai_node_responses.mjs"


async def test_it_asks_follows_lists_and_deletes(run: Run) -> None:
    async with run(SCRIPT, "answers") as client:
        assert await client.line() == "Hello, world"
        assert await client.line() == {"final": "Hello, world", "texts": ["Hello", ", ", "world"]}
        assert await client.line() == ["Hi"]
        assert await client.line() == 404
        await client.end()


async def test_its_helper_puts_calls_together(run: Run, backend: Backend) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        begin = {"index": 0, "id": "a", "function": {"name": "weather", "arguments": "{"}}
        await exchange.send(*calls(begin, {"index": 0, "function": {"arguments": "}"}}))

    backend.script = script
    async with run(SCRIPT, "tools") as client:
        assert await client.line() == {"done": ["weather"], "output": [["function_call", "{}"]]}
        await client.end()


async def test_it_resumes_a_response_that_it_has_left(run: Run, backend: Backend) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")), rest=tuple(answer("lo")))
    async with run(SCRIPT, "resumes") as client:
        assert await client.line() == "left"
        held.go_on.set()
        resumed = await client.line()
        assert resumed["numbers"] == list(range(len(resumed["numbers"])))
        assert resumed["last"] == "response.completed"
        assert await client.line() == "Hello"
        await client.end()


async def test_it_cancels_a_response(run: Run, backend: Backend) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with run(SCRIPT, "cancels") as client:
        assert await client.line() == "cancelled"
        await client.end()


async def test_it_keeps_a_conversation(run: Run) -> None:
    async with run(SCRIPT, "conversations") as client:
        assert await client.line() == ["One", "Two", "Hello, world"]
        await client.end()


async def test_the_example_goes_on_after_a_cut(run: Run, backend: Backend, proxy: Proxy) -> None:
    backend.script = held = PausedScript(*answer("Hello", "\n")[:3], rest=tuple(answer("world")))
    async with run("../../examples/responses.mjs", "") as client:
        assert client.process.stdout is not None
        printed = await client.process.stdout.readline()
        proxy.reset()
        held.go_on.set()
        printed += await client.process.stdout.read()
        await client.process.wait()
    assert (client.process.returncode, printed) == (0, b"Hello\nworld")
