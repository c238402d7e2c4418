"""Leaving, coming back and stopping, on the owner's process and on another one."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from app.store import keys
from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, Script, says
from tests.support.chunks import DONE, answer, chunk, event
from tests.support.sse import chat, events
from tests.support.store import stored_messages
from tests.support.turns import PausedScript, begin, follow, raw, turn_of

WORDS = [f"word{n} " for n in range(198)]


async def test_cut_at_each_position_after_its_end_the_bytes_are_the_same_on_every_process(
    serve: Serve, backend: Backend, user: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*answer(*WORDS))

    backend.script = script
    async with serve() as here, serve() as elsewhere:
        turn_id = turn_of((await chat(here, user_id=user))[0])
        whole = await raw(here, turn_id)
        assert whole == await raw(elsewhere, turn_id)
        frames = whole.split(b"\n\n")[:-1]
        assert len(frames) == 201
        for position in range(1, 201):
            head = b"".join(frame + b"\n\n" for frame in frames[:position])
            for client in (here, elsewhere):
                assert head + await raw(client, turn_id, position) == whole


@pytest.mark.parametrize("first_cut", range(1, 11))
async def test_cut_at_each_position_while_it_runs_the_bytes_are_the_same_on_every_process(
    serve: Serve, backend: Backend, user: str, first_cut: int
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        for part in answer(*WORDS):
            await exchange.send(part)
            await asyncio.sleep(0.005)

    backend.script = script
    cuts = range(first_cut, 201, 10)
    async with serve() as here, serve() as elsewhere:
        first = asyncio.Queue[str]()

        async def read() -> None:
            async for each in begin(here, user):
                first.put_nowait(turn_of(each))

        reading = asyncio.create_task(read())
        turn_id = await first.get()
        tails = await asyncio.gather(
            *(raw(client, turn_id, position) for position in cuts for client in (here, elsewhere))
        )
        await reading
        frames = (await raw(here, turn_id)).split(b"\n\n")[:-1]
    for position, pair in zip(cuts, zip(tails[::2], tails[1::2], strict=True), strict=True):
        expected = b"".join(frame + b"\n\n" for frame in frames[position:])
        assert pair == (expected, expected)


async def test_a_reader_elsewhere_gets_each_event_before_the_next_is_sent(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = held = PausedScript(
        event(chunk("one")), rest=(event(chunk("two")), event(chunk(finish_reason="stop")))
    )
    async with serve() as here, serve() as elsewhere:
        mine = begin(here, user)
        turn_id = turn_of(await anext(mine))
        async with elsewhere.stream("GET", f"/chat/{turn_id}") as response:
            stream = events(response)
            assert (await anext(stream)).content == "one"
            held.go_on.set()
            assert (await anext(stream)).content == "two"
            assert [each.data async for each in stream][-1] == "[DONE]"
        assert [each.data async for each in mine][-1] == "[DONE]"


@pytest.mark.parametrize(
    ("parts", "rest"),
    [
        ([chunk("one")], (event(chunk(finish_reason="stop")), DONE)),
        ([chunk("one"), chunk(finish_reason="stop")], (DONE,)),
    ],
    ids=["before an event", "before the end"],
)
async def test_what_redis_has_lost_of_a_running_turn_is_there_again_at_its_end(
    serve: Serve,
    backend: Backend,
    redis: Redis,
    user: str,
    parts: list[dict[str, Any]],
    rest: tuple[bytes, ...],
) -> None:
    backend.script = held = PausedScript(*map(event, parts), rest=rest)
    async with serve() as here, serve() as elsewhere:
        mine = begin(here, user)
        received = [await anext(mine) for _ in parts]
        turn_id = turn_of(received[0])
        while not await redis.xrange(keys.events(turn_id), min=f"{len(parts)}-0"):
            await asyncio.sleep(0.01)
        await redis.delete(keys.events(turn_id))
        await redis.xadd(keys.events(turn_id), {"created": ""}, id="0-1")
        held.go_on.set()
        received += [each async for each in mine]
        assert received[-1].data == "[DONE]"
        assert await follow(elsewhere, turn_id) == received


async def test_the_end_as_last_event_is_nothing_more_to_come(serve: Serve, user: str) -> None:
    async with serve() as client:
        turn_id = turn_of((await chat(client, user_id=user))[0])
        for turn in (turn_id, "0" * 32):
            response = await client.get(f"/chat/{turn}?last_event_id={turn}-end")
            assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize(
    "place", ["", "x", "{turn}", "{turn}-0", "{turn}-x", "{turn}--1", "other-1", "{turn}-6"]
)
async def test_a_place_that_is_none_of_a_whole_turn_is_refused(serve: Serve, user: str, place: str) -> None:
    async with serve() as here, serve() as elsewhere:
        turn_id = turn_of((await chat(here, user_id=user))[0])
        for client in (here, elsewhere):
            last_event_id = place.format(turn=turn_id) or "-"
            response = await client.get(f"/chat/{turn_id}", headers={"Last-Event-ID": last_event_id})
            assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_last_event_id")


async def test_an_unknown_turn_is_a_404(serve: Serve) -> None:
    async with serve() as client:
        for method in ("GET", "DELETE"):
            response = await client.request(method, f"/chat/{'0' * 32}")
            assert (response.status_code, response.json()["error"]["code"]) == (404, "turn_not_found")


async def test_a_turn_that_is_no_longer_kept_is_a_410_with_its_status(
    serve: Serve, redis: Redis, user: str
) -> None:
    async with serve() as client:
        turn_id = turn_of((await chat(client, user_id=user))[0])
        await redis.delete(keys.events(turn_id))
        response = await client.get(f"/chat/{turn_id}")
    assert (response.status_code, response.json()["error"]["code"]) == (410, "turn_expired")
    assert "complete" in response.json()["error"]["message"]


async def test_an_event_that_is_still_to_come_is_waited_for(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = held = PausedScript(event(chunk("one")), rest=tuple(answer("two", "three")))
    async with serve() as here, serve() as elsewhere:
        mine = begin(here, user)
        turn_id = turn_of(await anext(mine))
        waiting = asyncio.create_task(raw(elsewhere, turn_id, 3))
        held.go_on.set()
        assert (await waiting).startswith(f"id: {turn_id}-4\n".encode())
        assert [each.data async for each in mine][-1] == "[DONE]"


@pytest.mark.parametrize("process", ["here", "elsewhere"])
async def test_a_stopped_turn_ends_with_a_last_chunk_and_is_kept(
    serve: Serve, backend: Backend, redis: Redis, user: str, process: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve() as here, serve() as elsewhere:
        mine = begin(here, user)
        first = await anext(mine)
        turn_id = turn_of(first)
        response = await (here if process == "here" else elsewhere).delete(f"/chat/{turn_id}")
        assert response.json() == {"turn_id": turn_id, "status": "stopped"}
        await asyncio.wait_for(backend.completions[0].hung_up.wait(), 1)
        rest = [each async for each in mine]
        last = rest[0].json
        assert (last["id"], last["model"]) == (first.json["id"], first.json["model"])
        assert last["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        assert rest[1].data == "[DONE]"
        assert await follow(elsewhere, turn_id) == [first, *rest]
        assert (await elsewhere.delete(f"/chat/{turn_id}")).json()["status"] == "stopped"
    assert [(m["content"], m.get("status")) for m in await stored_messages(redis, user)] == [
        ("Hi", None),
        ("Hel", "stopped"),
    ]


async def before_headers(exchange: Exchange) -> None:
    await exchange.hung_up.wait()


async def before_the_first_token(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.hung_up.wait()


@pytest.mark.parametrize("script", [before_headers, before_the_first_token])
async def test_a_stop_hangs_up_in_every_phase(
    serve: Serve, backend: Backend, user: str, script: Script
) -> None:
    backend.script = script
    async with (
        serve(llm_status_wait_seconds=0.05) as client,
        client.stream("POST", "/chat", json={"user_id": user, "message": "Hi"}) as response,
    ):
        turn_id = response.headers["x-turn-id"]
        assert (await client.delete(f"/chat/{turn_id}")).json()["status"] == "stopped"
        await asyncio.wait_for(backend.completions[0].hung_up.wait(), 1)
        received = [each async for each in events(response)]
    assert received[0].json["id"] == f"chatcmpl-{turn_id}"
    assert received[1].data == "[DONE]"


async def test_a_turn_without_readers_is_interrupted_after_the_grace(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve(resume_grace_seconds=0) as client:
        mine = begin(client, user)
        turn_id = turn_of(await anext(mine))
        await mine.aclose()
        await asyncio.wait_for(backend.completions[0].hung_up.wait(), 5)
        received = await follow(client, turn_id)
    assert received[-1].json["error"]["code"] == "interrupted"
    assert (await stored_messages(redis, user))[1]["status"] == "interrupted"


async def test_a_reader_elsewhere_keeps_a_turn_alive(serve: Serve, backend: Backend, user: str) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with serve(resume_grace_seconds=1) as here, serve() as elsewhere:
        mine = begin(here, user)
        turn_id = turn_of(await anext(mine))
        theirs = asyncio.create_task(follow(elsewhere, turn_id))
        await asyncio.sleep(0.2)
        await mine.aclose()
        await asyncio.sleep(3)  # well over the grace: that nothing happens can only be waited for
        assert not backend.completions[0].hung_up.is_set()
        held.go_on.set()
        assert (await theirs)[-1].data == "[DONE]"


async def test_a_conversation_that_is_read_is_busy_and_another_is_not(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with serve() as here, serve() as elsewhere:
        mine = begin(here, user)
        turn_id = turn_of(await anext(mine))
        for client in (here, elsewhere):
            response = await client.post("/chat", json={"user_id": user, "message": "Hi"})
            error = response.json()["error"]
            assert (response.status_code, error["code"], error["turn_id"]) == (
                409,
                "conversation_busy",
                turn_id,
            )
        held.go_on.set()
        assert (await chat(elsewhere, user_id=user, conversation_id="other"))[-1].data == "[DONE]"
        assert [each.data async for each in mine][-1] == "[DONE]"


@pytest.mark.parametrize("process", ["here", "elsewhere"])
@pytest.mark.parametrize("how", ["it is not read", "it is to be interrupted"])
async def test_a_new_message_takes_the_conversation_over(
    serve: Serve, backend: Backend, redis: Redis, user: str, process: str, how: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve() as here, serve() as elsewhere:
        mine = begin(here, user)
        turn_id = turn_of(await anext(mine))
        if how == "it is not read":
            await mine.aclose()
            await asyncio.sleep(0.3)
        held = PausedScript(event(chunk("Bye")))
        held.go_on.set()
        backend.script = held
        body = {} if how == "it is not read" else {"if_busy": "interrupt"}
        client = here if process == "here" else elsewhere
        second = await chat(client, "Again", user_id=user, **body)
        assert second[-1].data == "[DONE]"
        if how == "it is to be interrupted":
            assert [each async for each in mine][-1].json["error"]["code"] == "interrupted"
        assert (await follow(here, turn_id))[-1].json["error"]["code"] == "interrupted"
    prompt = [message["content"] for message in backend.completions[1].body["messages"]]
    assert prompt[1:] == ["Hi", "Hel", "Again"]
    assert [m["content"] for m in await stored_messages(redis, user)] == ["Hi", "Hel", "Again", "Bye"]


async def test_a_key_that_is_sent_again_while_its_start_is_taken_back_is_a_start(
    serve: Serve, user: str
) -> None:
    async with serve() as here, serve() as elsewhere:

        async def ask_twice(n: int) -> str:
            request: dict[str, Any] = {
                "json": {"user_id": f"{user}-{n}", "message": "Hi"},
                "headers": {"Idempotency-Key": "key"},
            }
            first = asyncio.create_task(here.post("/chat", **request))
            # Somewhere between its request and its status.
            await asyncio.wait({first}, timeout=n / 5000)
            first.cancel()
            return (await elsewhere.post("/chat", **request)).text

        answers = [await asyncio.gather(*(ask_twice(n + m) for m in range(5))) for n in range(0, 100, 5)]
    assert [text for group in answers for text in group if not text.endswith("data: [DONE]\n\n")] == []


async def test_an_end_of_a_later_release_is_an_end(serve: Serve, redis: Redis, user: str) -> None:
    turn_id = f"{user}-turn"
    await redis.hset(keys.record(turn_id), mapping={"user_id": user, "conversation_id": "c"})
    end = json.dumps({"status": "error", "code": "of_tomorrow", "message": "Tomorrow."})
    await redis.xadd(keys.events(turn_id), {"end": end}, id=f"{2**64 - 1}-{2**64 - 1}")
    async with serve() as client:
        (terminal,) = await follow(client, turn_id)
    error = terminal.json["error"]
    assert (error["code"], error["message"]) == ("internal_error", "Tomorrow.")


async def test_a_key_that_is_repeated_gives_the_same_turn_live_and_afterwards(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await asyncio.sleep(0.2)
        await exchange.head()
        for part in answer("one", "two"):
            await exchange.send(part)
            await asyncio.sleep(0.05)

    backend.script = script
    key = {"Idempotency-Key": "k1"}
    async with serve() as here, serve() as elsewhere:

        async def post(client: httpx.AsyncClient, message: str = "Hi") -> httpx.Response:
            return await client.post("/chat", json={"user_id": user, "message": message}, headers=key)

        responses = await asyncio.gather(*(post(client) for client in (here, elsewhere) * 5))
        responses.append(await post(elsewhere))
        assert {response.status_code for response in responses} == {200}
        assert len({response.content for response in responses}) == 1
        assert len(backend.completions) == 1
        other = await post(here, "Another")
        assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert len(await stored_messages(redis, user)) == 2


async def test_a_start_that_failed_is_told_to_all_and_frees_its_key(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    async def failing(exchange: Exchange) -> None:
        await asyncio.sleep(0.5)
        await exchange.json(500, {"error": {"message": "boom"}})

    backend.script = failing
    async with serve() as here, serve() as elsewhere:

        async def post(client: httpx.AsyncClient) -> httpx.Response:
            body = {"user_id": user, "message": "Hi"}
            return await client.post("/chat", json=body, headers={"Idempotency-Key": "k1"})

        responses = await asyncio.gather(*(post(client) for client in (here, elsewhere, here, elsewhere)))
        assert [(r.status_code, r.json()["error"]["code"]) for r in responses] == [
            (502, "upstream_error")
        ] * 4
        assert len(backend.completions) == 1
        backend.script = PausedScript(rest=tuple(answer("fine")))
        backend.script.go_on.set()
        assert (await post(elsewhere)).status_code == 200
    assert len(await stored_messages(redis, user)) == 2


async def records(redis: Redis, user: str) -> set[bytes]:
    """The records of this user's turns."""
    found = [key async for key in redis.scan_iter("chat:turn:*:record:*")]
    return {key for key in found if await redis.hget(key, "user_id") == user.encode()}


async def test_starts_with_one_key_that_are_all_refused_leave_nothing_behind(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await asyncio.sleep(0.1)
        await exchange.json(401, {"error": {"message": "no"}})

    backend.script = refuse
    async with serve() as here, serve() as elsewhere:
        posts = [
            (here, elsewhere)[n % 2].post(
                "/chat", json={"user_id": user, "message": "Hi"}, headers={"Idempotency-Key": "k"}
            )
            for n in range(5)
        ]
        assert {response.status_code for response in await asyncio.gather(*posts)} == {502}
    # A reader on a third process may still be reading the end.
    for key in await records(redis, user):
        assert -2 <= await redis.pttl(key) <= 2000
    assert await redis.keys(f"chat:{{{user}}}*") == []


async def test_a_deleted_conversation_ends_its_turn_and_stays_deleted(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve() as here, serve() as elsewhere:
        done = PausedScript(event(chunk("old")))
        done.go_on.set()
        backend.script, held = done, backend.script
        ended = turn_of((await chat(here, user_id=user))[0])
        backend.script = held
        mine = begin(here, user)
        turn_id = turn_of(await anext(mine))
        assert (await elsewhere.delete(f"/users/{user}/conversations/default")).status_code == 204
        assert [each async for each in mine][-1].json["error"]["code"] == "conversation_deleted"
        await asyncio.wait_for(backend.completions[1].hung_up.wait(), 2)
        for turn in (ended, turn_id):
            assert (await here.get(f"/chat/{turn}")).status_code == 404
        response = await here.get(f"/users/{user}/conversations/default")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "conversation_not_found")
        assert (await here.get(f"/users/{user}/conversations")).json()["conversations"] == []
        assert (await here.delete(f"/users/{user}")).status_code == 204
    assert await redis.lrange(f"chat:{{{user}}}:messages:default", 0, -1) == []


async def test_a_conversation_is_read_backwards_in_pages(serve: Serve, user: str) -> None:
    async with serve() as client:
        for n in range(5):
            await chat(client, f"question {n}", user_id=user)
        path = f"/users/{user}/conversations/default"
        pages: list[list[dict[str, Any]]] = []
        before = ""
        while True:
            page = (await client.get(f"{path}?limit=3{before}")).json()
            pages.insert(0, page["messages"])
            if page["next_before"] is None:
                break
            before = f"&before={page['next_before']}"
        assert [len(page) for page in pages] == [1, 3, 3, 3]
        messages = [message for page in pages for message in page]
        assert [m["content"] for m in messages[::2]] == [f"question {n}" for n in range(5)]
        for query in ("before=x", "before=%21", "limit=0", "limit=201"):
            response = await client.get(f"{path}?{query}")
            assert (response.status_code, response.json()["error"]["code"]) == (422, "validation_error")


async def test_without_usage_of_the_backend_an_estimate_is_kept_and_flagged(
    serve: Serve, backend: Backend, redis: Redis, user: str
) -> None:
    backend.script = held = PausedScript(event(chunk("twelve chars")))
    held.go_on.set()
    async with serve() as client:
        await chat(client, user_id=user)
    reply = (await stored_messages(redis, user))[1]
    assert reply["usage_estimated"] is True
    assert reply["usage"]["completion_tokens"] == 3


async def test_a_turn_that_was_trimmed_is_erased_with_its_conversation(serve: Serve, user: str) -> None:
    async with serve(history_max_messages=2) as client:
        first, second = [turn_of((await chat(client, user_id=user))[0]) for _ in range(2)]
        assert (await client.get(f"/chat/{first}")).status_code == 200
        assert (await client.delete(f"/users/{user}/conversations/default")).status_code == 204
        for turn_id in (first, second):
            assert (await client.get(f"/chat/{turn_id}")).status_code == 404


async def test_a_client_that_leaves_before_the_status_is_no_reader(
    serve: Serve, backend: Backend, user: str
) -> None:
    silent = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        silent.set()
        await exchange.hung_up.wait()

    backend.script = script
    async with serve(resume_grace_seconds=0, llm_status_wait_seconds=60) as client:
        asking = asyncio.create_task(client.post("/chat", json={"user_id": user, "message": "Hi"}))
        await silent.wait()
        asking.cancel()
        await backend.completions[0].hung_up.wait()
        backend.script = says("Hello")
        assert (await chat(client, user_id=user))[-1].data == "[DONE]"
