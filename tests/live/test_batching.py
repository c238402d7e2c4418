"""Commands that are sent together: who gets which reply, also when callers leave or the server fails."""

import asyncio
import random
from collections.abc import AsyncIterator

import httpx
import pytest
from redis.exceptions import ResponseError

from app.store.batching import BatchingRedis
from app.store.connection import open_redis
from app.store.script import Script, together
from tests.live.conftest import Serve
from tests.support.sse import chat


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[BatchingRedis]:
    async with open_redis(valkey_url) as client:
        assert isinstance(client, BatchingRedis)
        yield client


async def test_commands_that_are_asked_together_are_read_together(client: BatchingRedis, user: str) -> None:
    await client.set(user, "1")
    before = (await client.info("stats"))["total_reads_processed"]
    answers = await asyncio.gather(*(client.get(user) for _ in range(200)))
    after = (await client.info("stats"))["total_reads_processed"]
    assert answers == [b"1"] * 200
    assert after - before < 20


async def test_a_reply_never_goes_to_another_caller_whoever_leaves(client: BatchingRedis, user: str) -> None:
    chance = random.Random(7)  # noqa: S311 - no secret
    for number in range(50):
        await client.set(f"{user}:{number}", str(number))

    async def ask(number: int) -> None:
        answer = await client.get(f"{user}:{number}")
        assert answer == str(number).encode()

    for _ in range(40):
        asking = [asyncio.create_task(ask(number)) for number in range(50)]
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        for task in chance.sample(asking, 20):
            task.cancel()
        for outcome in await asyncio.gather(*asking, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError)


async def test_a_command_that_is_refused_fails_alone(client: BatchingRedis, user: str) -> None:
    await client.set(user, "text")
    good, refused = await asyncio.gather(client.get(user), client.lrange(user, 0, -1), return_exceptions=True)
    assert good == b"text"
    assert isinstance(refused, ResponseError)


async def test_a_pipeline_has_its_own_replies_in_order(client: BatchingRedis, user: str) -> None:
    async def fill(number: int) -> list[object]:
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.set(f"{user}:{number}", str(number))
            pipeline.lrange(f"{user}:{number}", 0, -1)
            pipeline.get(f"{user}:{number}")
            return await pipeline.execute(raise_on_error=False)

    for number, (stored, refused, value) in enumerate(await asyncio.gather(*map(fill, range(30)))):
        assert stored is True
        assert isinstance(refused, ResponseError)
        assert value == str(number).encode()


async def test_a_connection_that_is_lost_costs_no_command(client: BatchingRedis, user: str) -> None:
    await client.set(user, "text")
    for _ in range(5):
        await client.client_kill_filter(_type="normal", skipme=False)
        assert await client.get(user) == b"text"


async def test_if_the_server_has_forgotten_a_script_all_calls_are_repeated_in_order(
    client: BatchingRedis, user: str
) -> None:
    append, lapsed = Script(client, "append_journal"), Script(client, "find_lapsed")
    calls = [
        append(keys=[user], args=[0, 1, b"one"]),
        append(keys=[user], args=[1, 2, b"two"]),
        lapsed(keys=[f"{user}:running"], args=[10]),
        append(keys=[user], args=[7, 8, b"after a gap"]),
    ]
    await client.xadd(user, {"created": ""}, id="0-1")
    await client.script_flush()
    assert await calls[0] == 1  # from now on one of the two scripts is known
    for _ in range(2):
        assert await together(calls) == [1, 2, [], 2]
    assert await client.xlen(user) == 3


async def test_a_short_turn_sends_five_commands_and_no_renewal(
    serve: Serve, client: BatchingRedis, user: str
) -> None:
    scripts = ["start_turn", "create_journal", "append_journal", "finish_turn", "close_journal"]
    names = {Script(client, name).digest: name for name in scripts}

    async def commands_of_a_turn(http: httpx.AsyncClient) -> list[str]:
        async with client.monitor() as monitor:
            events = await chat(http, user_id=user)
            turn_id = events[0].id.partition("-")[0]
            await client.echo(turn_id)
            found = []
            while not (seen := await monitor.next_command())["command"].startswith("ECHO"):
                if seen["client_type"] != "lua" and (user in seen["command"] or turn_id in seen["command"]):
                    found.append(names.get(seen["command"].split()[1], seen["command"]))
            return found

    async with serve() as http:
        turns = [await commands_of_a_turn(http) for _ in range(5)]
    # On a slow machine, the journal or a lease of one or the other turn is due meanwhile.
    assert scripts in turns
