"""How much a user may have: exactly, over all replicas."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange
from tests.support.chunks import chunk, event
from tests.support.sse import chat
from tests.support.turns import PausedScript, begin

PARALLEL = 50


@asynccontextmanager
async def replicas(serve: Serve, **settings: object) -> AsyncIterator[Sequence[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(serve(**settings)) for _ in range(2)]


async def ask_in_parallel(clients: Sequence[httpx.AsyncClient], user: str) -> list[httpx.Response]:
    """Ask in as many conversations, one replica after the other, and read to the end."""
    return await asyncio.gather(
        *(
            clients[n % 2].post("/chat", json={"user_id": user, "message": "Hi", "conversation_id": f"c{n}"})
            for n in range(PARALLEL)
        )
    )


def codes(responses: Sequence[httpx.Response]) -> Counter[str]:
    return Counter("200" if r.status_code == 200 else r.json()["error"]["code"] for r in responses)


async def test_exactly_so_many_turns_a_minute_are_started(serve: Serve, user: str) -> None:
    limits = {"rate_limit_turns_per_minute": 10, "max_active_turns_per_user": 0}
    async with replicas(serve, **limits) as clients:
        responses = await ask_in_parallel(clients, user)
        assert codes(responses) == {"200": 10, "rate_limited": PARALLEL - 10}
        left = sorted(r.headers["ratelimit"].partition(";t=")[0] for r in responses if r.status_code == 200)
        assert left == [f'"turns";r={n}' for n in range(10)]
        refused = next(r for r in responses if r.status_code == 429)
        assert refused.headers["ratelimit-policy"] == '"turns";q=10;w=60'
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        assert refused.headers["ratelimit"] == f'"turns";r=0;t={refused.headers["retry-after"]}'
        assert (await chat(clients[0], user_id=f"{user}-2"))[-1].data == "[DONE]"


async def test_exactly_so_many_turns_run_at_once(serve: Serve, backend: Backend, user: str) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with replicas(serve, max_active_turns_per_user=4) as clients:
        asked = asyncio.create_task(ask_in_parallel(clients, user))
        while len(backend.completions) < 4:
            await asyncio.sleep(0.01)
        over = await clients[0].post(
            "/chat", json={"user_id": user, "message": "Hi", "conversation_id": "another"}
        )
        assert (over.status_code, over.json()["error"]["code"]) == (429, "too_many_turns")
        assert over.headers["retry-after"]
        held.go_on.set()
        assert codes(await asked) == {"200": 4, "too_many_turns": PARALLEL - 4}
        # All slots are free again.
        assert codes(await ask_in_parallel(clients, user))["200"] >= 4


async def test_a_start_that_failed_gives_its_slot_and_its_count_back(
    serve: Serve, backend: Backend, user: str, redis: Redis
) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.json(400, {"error": {"message": "no"}})

    backend.script = refuse
    async with serve(max_active_turns_per_user=1, rate_limit_turns_per_minute=3) as client:
        for _ in range(5):
            failed = await client.post("/chat", json={"user_id": user, "message": "Hi"})
            assert failed.status_code == 400
        assert await redis.keys(f"chat:{{{user}}}*") == []


async def test_a_retry_with_its_key_counts_once(serve: Serve, user: str) -> None:
    async with serve(rate_limit_turns_per_minute=1) as client:
        first, again = [
            await client.post(
                "/chat", json={"user_id": user, "message": "Hi"}, headers={"Idempotency-Key": "k"}
            )
            for _ in range(2)
        ]
        assert (first.status_code, again.status_code) == (200, 200)
        assert first.content == again.content


async def test_the_count_outlives_what_is_kept_of_the_user_and_lapses(
    serve: Serve, user: str, redis: Redis
) -> None:
    async with serve(rate_limit_turns_per_minute=1) as client:
        assert (await chat(client, user_id=user))[-1].data == "[DONE]"
        assert (await client.delete(f"/users/{user}")).status_code == 204
        limited = await client.post("/chat", json={"user_id": user, "message": "Hi"})
        assert limited.status_code == 429
        assert 0 < await redis.pttl(f"chat:{{{user}}}:started-turns") <= 60_000


async def test_the_turn_of_a_deleted_conversation_takes_no_slot(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with serve(max_active_turns_per_user=1) as client:
        async with client.stream("POST", "/chat", json={"user_id": user, "message": "Hi"}) as response:
            assert response.status_code == 200
            await client.delete(f"/users/{user}/conversations/default")
        held.go_on.set()
        assert (await chat(client, user_id=user))[-1].data == "[DONE]"


async def test_two_deletions_of_a_running_conversation_both_succeed(
    serve: Serve, backend: Backend, user: str
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with (
        replicas(serve) as clients,
        clients[0].stream("POST", "/chat", json={"user_id": user, "message": "Hi"}) as response,
    ):
        assert response.status_code == 200
        path = f"/users/{user}/conversations/default"
        deletions = await asyncio.gather(*(clients[n % 2].delete(path) for n in range(4)))
        assert {deletion.status_code for deletion in deletions} == {204}


async def test_an_end_that_failed_half_way_does_not_hold_the_conversation(
    serve: Serve, backend: Backend, user: str, redis: Redis
) -> None:
    backend.script = held = PausedScript(event(chunk("Hel")))
    async with serve() as client:
        mine = begin(client, user)
        await anext(mine)
        await redis.delete(f"chat:{{{user}}}:active-turns")
        await redis.set(f"chat:{{{user}}}:active-turns", "damaged")
        held.go_on.set()
        await asyncio.sleep(0.5)
        await redis.delete(f"chat:{{{user}}}:active-turns")
        assert [each async for each in mine][-1].data == "[DONE]"
        assert (await chat(client, user_id=user))[-1].data == "[DONE]"
