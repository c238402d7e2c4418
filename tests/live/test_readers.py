"""Readers: from which event they continue, how many a user may have, and what of them stays in memory."""

import asyncio
import gc

import httpx
import pytest

from app.api.schemas import ChatRequest
from app.api.stream_call import StreamCall
from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange
from tests.support.chunks import chunk, event
from tests.support.raw_http import chat_request
from tests.support.sse import chat
from tests.support.turns import PausedScript, begin, raw, turn_of

_FOLLOWED = 'chat_follows_total{place="elsewhere"} 1.0'


@pytest.mark.parametrize("name", ["last_event_id", "lastEventId", "Last-Event-ID"])
async def test_a_polyfill_continues_after_its_last_event(serve: Serve, user: str, name: str) -> None:
    async with serve() as client:
        turn_id = turn_of((await chat(client, user_id=user))[0])
        response = await client.get(f"/chat/{turn_id}", params={name: f"{turn_id}-2"})
        assert response.text.startswith(f"id: {turn_id}-3\n")
        # A browser's own header is newer than what the page once put into the URL.
        both = await client.get(
            f"/chat/{turn_id}", params={name: f"{turn_id}-1"}, headers={"Last-Event-ID": f"{turn_id}-3"}
        )
        assert both.text.startswith(f"id: {turn_id}-4\n")


def ask(user: str, last_event_id: str) -> dict[str, object]:
    headers = {"Idempotency-Key": "key", "Last-Event-ID": last_event_id}
    return {"json": {"user_id": user, "message": "Hi"}, "headers": headers}


async def test_a_post_again_continues_after_its_last_event(serve: Serve, user: str) -> None:
    async with serve() as client:
        first = await client.post("/chat", **ask(user, ""))  # type: ignore[arg-type]  # httpx's kwargs
        turn_id = first.headers["x-turn-id"]
        again = await client.post("/chat", **ask(user, f"{turn_id}-2"))  # type: ignore[arg-type]
        assert again.content == (await raw(client, turn_id, after=2))
        assert again.headers["x-turn-id"] == turn_id
        end = await client.post("/chat", **ask(user, f"{turn_id}-end"))  # type: ignore[arg-type]
        assert (end.status_code, end.content) == (204, b"")


@pytest.mark.parametrize("position", ["0", "x", "99"])
async def test_a_post_again_refuses_an_event_that_its_turn_never_had(
    serve: Serve, user: str, position: str
) -> None:
    async with serve(max_readers=1) as client:
        turn_id = (await client.post("/chat", **ask(user, ""))).headers["x-turn-id"]  # type: ignore[arg-type]
        refused = await client.post("/chat", **ask(user, f"{turn_id}-{position}"))  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_last_event_id")
        # Its slot is free again.
        assert (await client.get(f"/chat/{turn_id}")).status_code == 200


async def test_a_new_turn_is_not_disturbed_by_an_event_of_an_older_one(serve: Serve, user: str) -> None:
    async with serve() as client:
        older = turn_of((await chat(client, user_id=user))[0])
        newer = await client.post("/chat", **ask(user, f"{older}-2"))  # type: ignore[arg-type]
        assert newer.headers["x-turn-id"] != older
        assert newer.text.startswith(f"id: {newer.headers['x-turn-id']}-1\n")


async def test_one_users_readers_leave_room_for_another_user(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = script = PausedScript(event(chunk("Hel")))
    async with serve(max_readers_per_user=3) as client:
        turn = begin(client, user)
        turn_id = turn_of(await anext(turn))
        more = [client.stream("GET", f"/chat/{turn_id}") for _ in range(2)]
        readers = [await each.__aenter__() for each in more]
        assert [reader.status_code for reader in readers] == [200, 200]
        refused = [
            await client.get(f"/chat/{turn_id}"),
            await client.post("/chat", json={"user_id": user, "message": "Hi", "conversation_id": "b"}),
        ]
        assert [_code(response) for response in refused] == [(503, "overloaded")] * 2
        assert all(response.headers["retry-after"] for response in refused)
        other = begin(client, f"{user}-2")
        assert (await anext(other)).content == "Hel"
        await more[0].__aexit__(None, None, None)
        script.go_on.set()
        # Whoever has left has given its place back.
        assert (await client.get(f"/chat/{turn_id}")).text.endswith("data: [DONE]\n\n")
        await more[1].__aexit__(None, None, None)
        assert [each async for each in turn][-1].data == "[DONE]"
        assert [each async for each in other][-1].data == "[DONE]"


async def test_readers_of_a_remote_turn_count_for_its_user_too(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = script = PausedScript(event(chunk("Hel")))
    async with serve() as owner, serve(max_readers_per_user=1) as elsewhere:
        turn = begin(owner, user)
        turn_id = turn_of(await anext(turn))
        async with elsewhere.stream("GET", f"/chat/{turn_id}") as first:
            assert first.status_code == 200
            assert _code(await elsewhere.get(f"/chat/{turn_id}")) == (503, "overloaded")
            script.go_on.set()
            await first.aread()
        assert [each async for each in turn][-1].data == "[DONE]"


async def test_a_repeat_that_leaves_before_the_first_token_does_not_stay_a_reader(
    serve: Serve, backend: Backend, user: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.hung_up.wait()

    backend.script = script
    ask = chat_request("Idempotency-Key: key", user_id=user, message="Hi")
    async with serve(resume_grace_seconds=0) as owner, serve() as elsewhere:
        _, first = await asyncio.open_connection(owner.base_url.host, owner.base_url.port)
        first.write(ask)
        async with asyncio.timeout(20):
            while not backend.completions:
                await asyncio.sleep(0.01)
            _, repeat = await asyncio.open_connection(elsewhere.base_url.host, elsewhere.base_url.port)
            repeat.write(ask)
            while _FOLLOWED not in (await elsewhere.get("/metrics")).text:
                await asyncio.sleep(0.01)
            repeat.close()
            first.close()
            await backend.completions[0].hung_up.wait()


async def test_a_stream_keeps_nothing_of_its_request_but_its_slot(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve(max_readers=1) as client:
        turn = begin(client, user)
        turn_id = turn_of(await anext(turn))
        gc.collect()
        assert [each for each in gc.get_objects() if isinstance(each, StreamCall | ChatRequest)] == []
        assert _code(await client.get(f"/chat/{turn_id}")) == (503, "overloaded")
        await client.delete(f"/chat/{turn_id}")
        assert [each.data async for each in turn][-1] == "[DONE]"
        assert (await client.get(f"/chat/{turn_id}")).status_code == 200


def _code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["code"]
