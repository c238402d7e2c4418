"""CPU time of the server process for each relayed token."""

from benchmarks.effort import Effort, Values
from benchmarks.measures.measure import Measure, cpu_microseconds_a_token, warm_up
from benchmarks.peers import Peer
from benchmarks.question import Question
from benchmarks.stage import Stage

_STREAMS = 100
_TOKENS = 200
_RATE = 50
_ARRIVAL_SECONDS = 1.07
"""Not a multiple of the time between two tokens, so that the streams' tokens arrive at different times."""
_RELAYING = ("nginx", "service", "service-v1", "recipe", "litellm")


async def _paced(stage: Stage, peer: Peer, effort: Effort) -> Values:
    question = Question(_TOKENS, rate=_RATE)
    async with peer.start(stage) as server:
        await warm_up(server)

        async def measure() -> Values:
            return {
                "µs": await cpu_microseconds_a_token(
                    server, question, streams=_STREAMS, arrival_seconds=_ARRIVAL_SECONDS
                )
            }

        return await effort.hold(server.pid, measure)


async def _burst(stage: Stage, peer: Peer, effort: Effort) -> Values:
    question = Question(_TOKENS)
    async with peer.start(stage) as server:
        await warm_up(server)

        async def measure() -> Values:
            return {
                "µs": await cpu_microseconds_a_token(
                    server, question, streams=_STREAMS, arrival_seconds=0, seconds=effort.burst_seconds
                )
            }

        return await effort.hold(server.pid, measure)


CPU_PACED = Measure(
    "cpu-paced", f"CPU a token, {_STREAMS} streams at {_RATE} tokens/s", _RELAYING, _paced, is_quick=True
)
CPU_BURST = Measure(
    "cpu-burst", f"CPU a token, {_STREAMS} streams in bursts", _RELAYING, _burst, is_quick=True
)
