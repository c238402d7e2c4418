"""Time added to the first token and to the gap between tokens."""

import asyncio
from collections.abc import Callable, Iterator

from benchmarks.effort import Effort, Values
from benchmarks.load import Received, ask_all, read_all
from benchmarks.measures.measure import LONGEST_SECONDS, SETTLE_SECONDS, Measure, quantile, warm_up
from benchmarks.peers import Peer
from benchmarks.question import Question
from benchmarks.stage import Stage

_ARRIVALS_A_SECOND = 50
_FIRST_TOKEN = Question(10, rate=50, stamped=True)
_GAP = Question(100, rate=50, stamped=True)
_GAP_STREAMS = 20
_STREAMS_AT_ONCE = 100
_EVERYBODY = ("direct", "nginx", "service", "recipe", "litellm")


async def _time_to_first_token(stage: Stage, peer: Peer, effort: Effort) -> Values:
    return await _delays(
        stage,
        peer,
        effort,
        _FIRST_TOKEN,
        streams=int(_ARRIVALS_A_SECOND * effort.arrival_seconds),
        interval_seconds=1 / _ARRIVALS_A_SECOND,
        delays_of=_wait,
    )


async def _at_once(stage: Stage, peer: Peer, effort: Effort) -> Values:
    async with peer.start(stage) as server:
        await warm_up(server)

        async def measure() -> Values:
            waits: list[float] = []
            for _ in range(effort.starts):
                requests = [server.request(_FIRST_TOKEN) for _ in range(_STREAMS_AT_ONCE)]
                opened = await ask_all(server.address, requests, interval_seconds=0, is_stamped=True)
                answers = await read_all(opened, tokens=_FIRST_TOKEN.tokens, seconds=LONGEST_SECONDS)
                waits += [wait for answer in answers for wait in _wait(answer)]
                await asyncio.sleep(SETTLE_SECONDS)
            return {"p50 ms": quantile(waits, 0.5), "p99 ms": quantile(waits, 0.99)}

        return await effort.hold(server.pid, measure)


async def _gap(stage: Stage, peer: Peer, effort: Effort) -> Values:
    return await _delays(
        stage,
        peer,
        effort,
        _GAP,
        streams=_GAP_STREAMS,
        interval_seconds=1.07 / _GAP_STREAMS,
        delays_of=_added_gaps,
    )


async def _delays(
    stage: Stage,
    peer: Peer,
    effort: Effort,
    question: Question,
    *,
    streams: int,
    interval_seconds: float,
    delays_of: Callable[[Received], Iterator[float]],
) -> Values:
    async with peer.start(stage) as server:
        await warm_up(server)

        async def measure() -> Values:
            opened = await ask_all(
                server.address,
                [server.request(question) for _ in range(streams)],
                interval_seconds=interval_seconds,
                is_stamped=True,
            )
            answers = await read_all(opened, tokens=question.tokens, seconds=LONGEST_SECONDS)
            delays = [delay for answer in answers for delay in delays_of(answer)]
            return {"p50 ms": quantile(delays, 0.5), "p99 ms": quantile(delays, 0.99)}

        return await effort.hold(server.pid, measure)


def _wait(answer: Received) -> Iterator[float]:
    """Return the milliseconds until the first token."""
    yield (answer.arrivals[0][1] - answer.asked_at) / 1e6


def _added_gaps(answer: Received) -> Iterator[float]:
    """Return the milliseconds by which each gap between tokens grew on the way."""
    sent_before, came_before = answer.arrivals[0]
    for sent, came in answer.arrivals[1:]:
        yield max(0, (came - came_before) - (sent - sent_before)) / 1e6
        sent_before, came_before = sent, came


TTFT = Measure(
    "ttft",
    f"time to first token, {_ARRIVALS_A_SECOND} new streams a second",
    _EVERYBODY,
    _time_to_first_token,
    is_quick=True,
)
STARTS = Measure(
    "starts",
    f"time to first token, {_STREAMS_AT_ONCE} streams started at once",
    _EVERYBODY,
    _at_once,
    is_quick=True,
)
GAP = Measure("gap", "what is added to the gap between tokens", _EVERYBODY, _gap)
