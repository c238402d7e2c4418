"""Streams open at once, and the memory for each."""

import asyncio

from benchmarks.effort import Effort, Values
from benchmarks.load import Stream, ask_all, spoilt, wait_for_all
from benchmarks.machine import resident_bytes
from benchmarks.measures.measure import LONGEST_SECONDS, Measure, warm_up
from benchmarks.peers import Peer
from benchmarks.question import Question
from benchmarks.stage import Stage

_ARRIVALS_A_SECOND = 50
_OPEN_SECONDS = 5
"""How long all streams stay open."""
_SPARE_SECONDS = 10
"""The time for streams that open late, if the machine is busy."""


async def _open_at_once(stage: Stage, peer: Peer, effort: Effort) -> Values:
    arrival_seconds = effort.open_streams / _ARRIVALS_A_SECOND
    question = Question(int(arrival_seconds) + _OPEN_SECONDS + _SPARE_SECONDS, rate=1)
    async with peer.start(stage) as server:
        await warm_up(server)
        before = resident_bytes(server.pid)
        opened = await ask_all(
            server.address,
            [server.request(question) for _ in range(effort.open_streams)],
            interval_seconds=1 / _ARRIVALS_A_SECOND,
        )
        await asyncio.sleep(_OPEN_SECONDS)
        open_at_once = sum(_is_open(stream) for stream in opened)
        memory = resident_bytes(server.pid) - before
        answers = await wait_for_all(opened, seconds=question.tokens + LONGEST_SECONDS)
        return {
            "open": open_at_once,
            "not whole": len(spoilt(answers, tokens=question.tokens)),
            "KiB a stream": memory / effort.open_streams / 1024,
        }


def _is_open(stream: Stream) -> bool:
    return stream.begun.done() and not stream.ended.done()


STREAMS = Measure(
    "streams", "streams at once, a token a second each", ("service",), _open_at_once, is_once=True
)
