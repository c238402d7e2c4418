"""What the service asks of Redis."""

import asyncio
from typing import Any

from redis.asyncio import Redis

from benchmarks.effort import Effort, Values
from benchmarks.load import ask_all, read_all
from benchmarks.measures.measure import LONGEST_SECONDS, SETTLE_SECONDS, Measure, warm_up
from benchmarks.peers import Peer
from benchmarks.question import Question
from benchmarks.stage import Stage

_STREAMS = 100
_QUESTION = Question(200, rate=50)
PER_TURN = " a turn"
_OUR_OWN = frozenset({"info", "client|setinfo", "hello", "client|setname"})


async def _commands_and_bytes(stage: Stage, peer: Peer, effort: Effort) -> Values:
    async with peer.start(stage) as server, Redis.from_url(stage.store_url) as redis:
        await warm_up(server)

        async def measure() -> Values:
            before = await _counts(redis)
            bytes_before = await _received_bytes(redis)
            opened = await ask_all(
                server.address,
                [server.request(_QUESTION) for _ in range(_STREAMS)],
                interval_seconds=1.07 / _STREAMS,
            )
            answers = await read_all(opened, tokens=_QUESTION.tokens, seconds=LONGEST_SECONDS)
            await asyncio.sleep(SETTLE_SECONDS)
            stored_bytes = await _received_bytes(redis) - bytes_before
            added = {name: calls - before.get(name, 0) for name, calls in (await _counts(redis)).items()}
            tokens = _STREAMS * _QUESTION.tokens
            return {
                "commands": sum(added.values()) / tokens,
                "bytes": stored_bytes / tokens,
                "of bytes relayed": stored_bytes / sum(answer.size for answer in answers),
                **{
                    f"{name}{PER_TURN}": calls / _STREAMS
                    for name, calls in sorted(added.items(), key=lambda item: -item[1])
                    if calls
                },
            }

        return await effort.hold(server.pid, measure)


async def _counts(redis: Redis) -> dict[str, int]:
    """Commands so far, those that scripts give included."""
    stats: dict[str, Any] = await redis.info("commandstats")
    names = {name: name.removeprefix("cmdstat_") for name in stats}
    return {names[name]: each["calls"] for name, each in stats.items() if names[name] not in _OUR_OWN}


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
