"""The interface of a measurement."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.effort import Effort, Values
from benchmarks.load import ask_all, read_all
from benchmarks.machine import cpu_seconds
from benchmarks.peers import Peer, Server
from benchmarks.peers.peer import Request
from benchmarks.question import Question
from benchmarks.stage import Stage

SETTLE_SECONDS = 0.3
"""The wait after the last answer, for the work that a server still does for it."""
LONGEST_SECONDS = 120.0

_WARM_UP = Question(tokens=20)
_WARM_UP_STREAMS = 50


@dataclass(frozen=True, slots=True)
class Measure:
    """A measurement that can be chosen by its name."""

    name: str
    title: str
    peers: tuple[str, ...]
    """The peers that it applies to."""
    run: Callable[[Stage, Peer, Effort], Awaitable[Values]]
    is_once: bool = False
    """Whether it takes so long that it runs only in the first round."""
    is_quick: bool = False
    """Whether `make bench-quick` includes it."""


async def warm_up(server: Server) -> None:
    """Warm the server up: let it open connections and compile what it needs."""
    streams = await ask_all(
        server.address, [server.request(_WARM_UP) for _ in range(_WARM_UP_STREAMS)], interval_seconds=0
    )
    await read_all(streams, tokens=_WARM_UP.tokens, seconds=LONGEST_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which this share of the values lies."""
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


async def cpu_microseconds_a_token(
    server: Server,
    question: Question,
    *,
    streams: int,
    arrival_seconds: float,
    seconds: float = 0,
    request: Request | None = None,
) -> float:
    """Measure the CPU time that a server's process uses for each relayed token.

    Args:
        server: The server, warmed up.
        question: The question of every stream.
        streams: The number of streams.
        arrival_seconds: The time over which the streams arrive, one after the other.
        seconds: How long new rounds of streams begin; 0: one round only.
        request: Replaces the server's own request.
    """
    write = request or server.request
    before, began, tokens = cpu_seconds(server.pid), time.monotonic(), 0
    while not tokens or time.monotonic() - began < seconds:
        opened = await ask_all(
            server.address,
            [write(question) for _ in range(streams)],
            interval_seconds=arrival_seconds / streams,
        )
        await read_all(opened, tokens=question.tokens, seconds=LONGEST_SECONDS)
        tokens += streams * question.tokens
    await asyncio.sleep(SETTLE_SECONDS)
    return (cpu_seconds(server.pid) - before) / tokens * 1e6
