"""A conversation that outgrows the model's context goes on with its newest turns."""

import httpx
import pytest
from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, says
from tests.support.chunks import DONE, chunk, event, usage_chunk
from tests.support.store import stored_messages

REFUSAL = "This model's maximum context length is {} tokens. However, you requested {} tokens."


class SmallModel:
    """A backend whose tokens are characters, and which refuses what does not fit."""

    def __init__(self, context: int) -> None:
        self.refusals = 0
        self._context = context

    async def __call__(self, exchange: Exchange) -> None:
        prompt = sum(len(message["content"]) for message in exchange.body["messages"])
        if (wanted := prompt + exchange.body["max_tokens"]) > self._context:
            self.refusals += 1
            refusal = REFUSAL.format(self._context, wanted)
            await exchange.json(400, {"error": {"message": refusal}})
            return
        await exchange.head()
        words, finish = event(chunk("y" * 100)), event(chunk(finish_reason="stop"))
        await exchange.send(words, finish, event(usage_chunk(prompt)), DONE)


async def ask(client: httpx.AsyncClient, user: str, message: str = "x" * 100) -> httpx.Response:
    return await client.post("/chat", json={"user_id": user, "message": message})


@pytest.mark.parametrize("known", [{}, {"llm_context_tokens": 1000}])
async def test_a_conversation_goes_on_without_its_oldest_turns(
    serve: Serve, backend: Backend, user: str, redis: Redis, known: dict[str, int]
) -> None:
    backend.script = model = SmallModel(1000)
    async with serve(llm_max_tokens=100, **known) as client:
        responses = [await ask(client, user) for _ in range(20)]
    assert all(response.text.endswith("data: [DONE]\n\n") for response in responses)
    assert "x-history-trimmed" not in responses[0].headers
    last = backend.completions[-1].body["messages"]
    assert [message["role"] for message in last[:2]] == ["system", "user"]
    assert int(responses[-1].headers["x-history-trimmed"]) == 2 * 19 - (len(last) - 2)
    # It has learnt how long a token is: the prompt is neither refused again nor needlessly short.
    assert model.refusals <= 4
    assert len(last) - 2 >= 4
    assert len(await stored_messages(redis, user)) == 40


async def test_a_message_that_the_model_cannot_hold_is_refused_and_leaves_nothing(
    serve: Serve, backend: Backend, user: str, redis: Redis
) -> None:
    backend.script = SmallModel(1000)
    async with serve(llm_max_tokens=100) as client:
        response = await ask(client, user, "x" * 2000)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "context_length_exceeded"
    assert await redis.keys(f"chat:{{{user}}}*") == []


async def test_a_message_that_cannot_fit_is_refused_without_asking(
    serve: Serve, backend: Backend, user: str
) -> None:
    async with serve(llm_context_tokens=100) as client:
        response = await ask(client, user, "x" * 2000)
    assert (response.status_code, response.json()["error"]["param"]) == (400, "message")
    assert backend.completions == []


async def test_the_size_is_asked_of_the_backend(serve: Serve, backend: Backend, user: str) -> None:
    backend.models = [{"id": "test-model", "object": "model", "max_model_len": 200}]
    async with serve() as client:
        assert (await ask(client, user, "x" * 2000)).status_code == 400
        assert (await ask(client, user, "x" * 100)).status_code == 200
    assert len(backend.completions) == 1


async def test_a_backend_that_takes_only_the_message_gets_only_the_message(
    serve: Serve, backend: Backend, user: str
) -> None:
    async with serve() as client:
        for _ in range(3):
            assert (await ask(client, user)).status_code == 200

        async def script(exchange: Exchange) -> None:
            if len(exchange.body["messages"]) > 2:
                await exchange.json(400, {"error": {"message": "prompt is too long"}})
            else:
                await says("Hello")(exchange)

        backend.script = script
        response = await ask(client, user)
    assert response.text.endswith("data: [DONE]\n\n")
    assert response.headers["x-history-trimmed"] == "6"


async def test_in_a_window_of_unknown_size_nothing_is_forgotten_while_the_backend_takes_it(
    serve: Serve, backend: Backend, user: str
) -> None:
    async with serve() as client:
        for _ in range(12):
            response = await ask(client, user, "x" * 4000)
            assert response.text.endswith("data: [DONE]\n\n")
            assert "x-history-trimmed" not in response.headers
    assert len(backend.completions[-1].body["messages"]) == 1 + 2 * 11 + 1


@pytest.mark.parametrize("field", ["context_length", "context_window", "max_context_length"])
async def test_the_size_is_read_under_each_usual_name(
    serve: Serve, backend: Backend, user: str, field: str
) -> None:
    backend.models = [{"id": "test-model", field: 200}]
    async with serve() as client:
        assert (await ask(client, user, "x" * 2000)).status_code == 400
    assert backend.completions == []


async def test_a_refusal_teaches_the_size_for_the_next_questions(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = model = SmallModel(1000)
    async with serve(llm_max_tokens=100) as client:
        for _ in range(12):
            assert (await ask(client, user)).text.endswith("data: [DONE]\n\n")
    assert model.refusals <= 3
