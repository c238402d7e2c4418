"""The commands that the service sends to Redis."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from benchmarks.effort import Effort, Values
from benchmarks.load import ask_all, read_all
from benchmarks.measures.measure import LONGEST_SECONDS, SETTLE_SECONDS, Measure, warm_up
from benchmarks.peers import Peer, Server
from benchmarks.question import Question
from benchmarks.stage import Stage

_STREAMS = 100
_QUESTION = Question(200, rate=50)
_SHORT_QUESTION = Question(1)
PER_TURN = " a turn"


async def _commands_and_bytes(stage: Stage, peer: Peer, effort: Effort) -> Values:
    async with peer.start(stage) as server, Redis.from_url(stage.store_url) as redis:
        await warm_up(server)

        async def measure() -> Values:
            bytes_before = await _received_bytes(redis)
            async with _counted(redis) as (sent, in_scripts):
                opened = await ask_all(
                    server.address,
                    [server.request(_QUESTION) for _ in range(_STREAMS)],
                    interval_seconds=1.07 / _STREAMS,
                )
                answers = await read_all(opened, tokens=_QUESTION.tokens, seconds=LONGEST_SECONDS)
                await asyncio.sleep(SETTLE_SECONDS)
            stored_bytes = await _received_bytes(redis) - bytes_before
            tokens = _STREAMS * _QUESTION.tokens
            return {
                "commands": sent.total() / tokens,
                "commands each short turn": await _commands_of_short_turns(redis, server),
                "in scripts": in_scripts.total() / tokens,
                "bytes": stored_bytes / tokens,
                "of bytes relayed": stored_bytes / sum(answer.size for answer in answers),
                **{f"{name}{PER_TURN}": calls / _STREAMS for name, calls in sent.most_common()},
            }

        return await effort.hold(server.pid, measure)


async def _commands_of_short_turns(redis: Redis, server: Server) -> float:
    """Count the commands of a turn of one token, without those that so much time costs alone."""
    began = time.monotonic()
    async with _counted(redis) as (sent, _):
        requests = [server.request(_SHORT_QUESTION) for _ in range(_STREAMS)]
        opened = await ask_all(server.address, requests, interval_seconds=1 / _STREAMS)
        await read_all(opened, tokens=_SHORT_QUESTION.tokens, seconds=LONGEST_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
    async with _counted(redis) as (idle, _):
        await asyncio.sleep(time.monotonic() - began)
    return (sent.total() - idle.total()) / _STREAMS


@asynccontextmanager
async def _counted(redis: Redis) -> AsyncIterator[tuple[Counter[str], Counter[str]]]:
    """Count the commands that clients send meanwhile, and those that scripts execute."""
    sent, in_scripts = Counter[str](), Counter[str]()

    async def count() -> None:
        async for seen in monitor.listen():
            name = seen["command"].partition(" ")[0].lower()
            (in_scripts if seen["client_type"] == "lua" else sent)[name] += 1

    async with redis.monitor() as monitor:
        counting = asyncio.create_task(count())
        try:
            yield sent, in_scripts
        finally:
            counting.cancel()
            await asyncio.wait({counting})


async def _received_bytes(redis: Redis) -> int:
    stats: dict[str, Any] = await redis.info("stats")
    return int(stats["total_net_input_bytes"])


STORE = Measure(
    "redis",
    f"Redis a token, {_STREAMS} streams at 50 tokens/s",
    ("service",),
    _commands_and_bytes,
    is_quick=True,
)
