"""Token by token, over real sockets: what the backend has sent is with the client before the next is sent."""

import asyncio

import pytest
from redis.asyncio import Redis

from app.errors import Draining
from app.main import create_app
from app.models import TurnRequest
from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange
from tests.support.chunks import DONE, answer, chunk, event
from tests.support.service import settings_for
from tests.support.sse import chat, events
from tests.support.store import stored_messages
from tests.support.turns import rest_of


def ask(user: str) -> dict[str, str]:
    return {"user_id": user, "message": "Hi"}


async def test_every_event_is_read_before_the_backend_sends_the_next(
    serve: Serve, backend: Backend, user: str
) -> None:
    *relayed, usage, done = answer("one", "two", "three")
    was_read = asyncio.Queue[str]()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for part in relayed:
            await exchange.send(part)
            await was_read.get()
        await exchange.send(usage, done)

    backend.script = script
    received = []
    async with serve() as client, client.stream("POST", "/chat", json=ask(user)) as response:
        async for each in events(response):
            received.append(each)
            was_read.put_nowait(each.id)
    assert [each.content for each in received[:-1]] == ["", "one", "two", "three", ""]
    assert received[-1].data == "[DONE]"


async def test_a_ping_goes_out_while_the_backend_is_silent(serve: Serve, backend: Backend, user: str) -> None:
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await go_on.wait()
        await exchange.send(*answer("late"))

    backend.script = script
    async with (
        serve(sse_ping_seconds=0.05, llm_status_wait_seconds=0) as client,
        client.stream("POST", "/chat", json=ask(user)) as response,
    ):
        lines = response.aiter_lines()
        assert response.status_code == 200
        assert await anext(lines) == ": ping"
        go_on.set()
        rest = [line async for line in lines if line and not line.startswith(":")]
    assert rest[-1] == "data: [DONE]"


async def test_the_status_is_held_until_the_backend_has_sent_its_first_event(
    serve: Serve, backend: Backend, user: str
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange) -> None:
        asked.set()
        await go_on.wait()
        await exchange.json(500, {"error": {"message": "boom"}})

    backend.script = script
    async with serve() as client:
        response = asyncio.create_task(client.post("/chat", json=ask(user)))
        await asked.wait()
        assert not response.done()
        go_on.set()
        assert (await response).status_code == 502


async def test_what_fails_after_the_status_fails_in_the_stream_and_the_question_is_kept(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await go_on.wait()
        await exchange.json(500, {"error": {"message": "boom"}})

    backend.script = script
    async with (
        serve(llm_status_wait_seconds=0.01) as client,
        client.stream("POST", "/chat", json=ask(user)) as response,
    ):
        assert response.status_code == 200
        go_on.set()
        received = [each async for each in events(response)]
    assert [each.json["error"]["code"] for each in received] == ["upstream_error"]
    assert [(m["content"], m.get("status")) for m in await stored_messages(redis, user)] == [
        ("Hi", None),
        ("", "error"),
    ]


async def test_an_answer_may_not_take_longer_than_the_total(
    serve: Serve, backend: Backend, user: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        while not exchange.hung_up.is_set():
            await exchange.send(event(chunk("on and ")))
            await asyncio.sleep(0.01)

    backend.script = script
    async with serve(llm_total_timeout_seconds=0.3, llm_status_wait_seconds=0) as client:
        received = await chat(client, user_id=user)
    assert received[-1].json["error"]["code"] == "upstream_timeout"


async def test_a_reader_that_goes_away_stops_nothing(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    left = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(event(chunk("Hel")))
        await left.wait()
        await exchange.send(event(chunk("lo")), event(chunk(finish_reason="stop")), DONE)

    backend.script = script
    async with serve() as client:
        async with client.stream("POST", "/chat", json=ask(user)) as response:
            async for _ in events(response):
                break
        left.set()
        while len(messages := await stored_messages(redis, user)) < 2:
            await asyncio.sleep(0.01)
    assert (messages[1]["content"], messages[1]["status"]) == ("Hello", "complete")


async def test_readers_of_one_turn_each_get_all_of_it(valkey_url: str, backend: Backend, user: str) -> None:
    app = create_app(settings_for(llm_base_url=backend.url, redis_url=valkey_url))
    async with app.router.lifespan_context(app):
        engine = app.state.service.engine
        question = TurnRequest(user_id=user, conversation_id="default", message="Hi", model="test-model")
        stream = (await engine.start(question)).stream

        async def read() -> list[bytes]:
            with stream.open_reader() as reader:
                return await rest_of(reader)

        first, second = await asyncio.gather(read(), read())
        assert first == second == await read()
        assert len(first) == 5


async def test_many_streams_at_once_are_never_mixed_up(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        question = exchange.body["messages"][-1]["content"]
        await exchange.send(*answer(*(f"{question}:{n} " for n in range(5))))

    backend.script = script
    async with serve() as client:
        users = [f"{user}-{n}" for n in range(50)]
        received = await asyncio.gather(*(chat(client, name, user_id=name) for name in users))
    for name, mine in zip(users, received, strict=True):
        text = "".join(f"{name}:{n} " for n in range(5))
        assert "".join(each.content for each in mine[:-1]) == text
        assert (await stored_messages(redis, name))[1]["content"] == text


async def test_a_turn_that_a_drain_overtakes_while_it_starts_is_refused(
    valkey_url: str, backend: Backend, user: str
) -> None:
    app = create_app(settings_for(llm_base_url=backend.url, redis_url=valkey_url))
    async with app.router.lifespan_context(app):
        engine = app.state.service.engine
        question = TurnRequest(user_id=user, conversation_id="default", message="Hi", model="test-model")
        start = asyncio.create_task(engine.start(question))
        await asyncio.sleep(0)
        await engine.drain(30)
        with pytest.raises(Draining):
            await start
    assert backend.completions == []


@pytest.mark.parametrize(
    "first", [b"data: {\n\n", event({"error": {"message": "boom"}}), b"data: " + b"x" * 2**20 + b"\n\n"]
)
async def test_a_stream_that_fails_with_its_first_event_is_a_502_and_leaves_nothing(
    serve: Serve, backend: Backend, redis: Redis, user: str, first: bytes
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(first)

    backend.script = script
    async with serve() as client:
        response = await client.post("/chat", json=ask(user))
    assert (response.status_code, response.json()["error"]["code"]) == (502, "upstream_error")
    assert await stored_messages(redis, user) == []
