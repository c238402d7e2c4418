"""What a measurement is."""

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
"""After the last answer, for what a server still has to do for it."""
LONGEST_SECONDS = 120.0

_WARM_UP = Question(tokens=20)
_WARM_UP_STREAMS = 50


@dataclass(frozen=True, slots=True)
class Measure:
    """One that can be chosen by name."""

    name: str
    title: str
    peers: tuple[str, ...]
    """To whom it applies."""
    run: Callable[[Stage, Peer, Effort], Awaitable[Values]]
    is_once: bool = False
    """Whether it takes so long that the first round has to do."""
    is_quick: bool = False
    """Whether a minute's look has it."""


async def warm_up(server: Server) -> None:
    """Let a server open its connections and compile what it compiles at first use."""
    streams = await ask_all(
        server.address, [server.request(_WARM_UP) for _ in range(_WARM_UP_STREAMS)], interval_seconds=0
    )
    await read_all(streams, tokens=_WARM_UP.tokens, seconds=LONGEST_SECONDS)
    await asyncio.sleep(SETTLE_SECONDS)


def quantile(values: Sequence[float], part: float) -> float:
    """The value below which this part of them is."""
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
    """What a server's process takes of the processor while it relays, a token.

    Args:
        server: Warm.
        question: What every stream asks.
        streams: How many.
        arrival_seconds: Over which they come, one after the other.
        seconds: For how long they ask again once the answers have ended; 0: they ask once.
        request: In place of the server's own.
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
