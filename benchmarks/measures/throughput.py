"""One-token answers per second: the cost of a turn without its tokens."""

import asyncio
import time

from benchmarks.effort import Effort, Values
from benchmarks.load import open_stream, read_all
from benchmarks.machine import cpu_seconds
from benchmarks.measures.measure import LONGEST_SECONDS, Measure, warm_up
from benchmarks.peers import Peer, Server
from benchmarks.question import Question
from benchmarks.stage import Stage

_CLIENTS = 32
_QUESTION = Question(1)


async def _requests_a_second(stage: Stage, peer: Peer, effort: Effort) -> Values:
    async with peer.start(stage) as server:
        await warm_up(server)

        async def measure() -> Values:
            began, cpu_before = time.monotonic(), cpu_seconds(server.pid)
            until = began + effort.arrival_seconds / 2
            answered = sum(await asyncio.gather(*(_ask_until(until, server) for _ in range(_CLIENTS))))
            return {
                "requests/s": answered / (time.monotonic() - began),
                "CPU µs a request": (cpu_seconds(server.pid) - cpu_before) / answered * 1e6,
            }

        return await effort.hold(server.pid, measure)


async def _ask_until(end: float, server: Server) -> int:
    answered = 0
    while time.monotonic() < end:
        stream = await open_stream(server.address, server.request(_QUESTION))
        await read_all([stream], tokens=1, seconds=LONGEST_SECONDS)
        answered += 1
    return answered


THROUGHPUT = Measure(
    "requests",
    f"one-token answers a second, {_CLIENTS} clients",
    ("nginx", "service", "recipe", "litellm"),
    _requests_a_second,
    is_quick=True,
)
