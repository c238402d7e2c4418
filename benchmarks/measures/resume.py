"""Time until a returning reader has the missed events, on the owner's process and on another one."""

import asyncio

from benchmarks.effort import Effort, Values
from benchmarks.load import Address, Received, Stream, ask_all, open_stream, read_all
from benchmarks.measures.measure import LONGEST_SECONDS, Measure, quantile, warm_up
from benchmarks.peers import Peer, Server
from benchmarks.peers.service import follow, start_service
from benchmarks.question import Question
from benchmarks.stage import Stage

_TURNS = 20
_RATE = 50
_TOKENS = 400
_ARRIVAL_SECONDS = 1.07
_BEFORE_SECONDS = 1.0
_INTERVAL_SECONDS = 0.031
_LAST_EVENT = 10
_FOLLOWED = 5
"""The number of turns that are read to the end on both processes."""


async def _resume(stage: Stage, peer: Peer, effort: Effort) -> Values:
    async with peer.start(stage) as owner, start_service(stage) as other:
        await warm_up(owner)
        await warm_up(other)
        same = await _waits(owner, owner.address, effort.resumes)
        elsewhere = await _waits(owner, other.address, effort.resumes)
        late = await _lateness(owner, other)
        return {
            "same p50 ms": quantile(same, 0.5),
            "same p95 ms": quantile(same, 0.95),
            "other p50 ms": quantile(elsewhere, 0.5),
            "other p95 ms": quantile(elsewhere, 0.95),
            "later p50 ms": quantile(late, 0.5),
            "later p95 ms": quantile(late, 0.95),
            "later max ms": max(late),
        }


async def _start_turns(owner: Server) -> list[Stream]:
    question = Question(_TOKENS, rate=_RATE, stamped=True)
    turns = await ask_all(
        owner.address,
        [owner.request(question) for _ in range(_TURNS)],
        interval_seconds=_ARRIVAL_SECONDS / _TURNS,
        is_stamped=True,
    )
    await asyncio.gather(*(turn.begun for turn in turns))
    await asyncio.sleep(_BEFORE_SECONDS)
    return turns


async def _waits(owner: Server, address: Address, resumes: int) -> list[float]:
    """Return the milliseconds from a reader's request to the first event that it missed."""
    turns = await _start_turns(owner)
    waits = []
    for n in range(resumes):
        reader = await open_stream(address, follow(turns[n % _TURNS].received.turn_id, _LAST_EVENT))
        await reader.begun
        reader.close()
        waits.append((reader.received.first_at - reader.received.asked_at) / 1e6)
        await asyncio.sleep(_INTERVAL_SECONDS)
    await read_all(turns, tokens=_TOKENS, seconds=LONGEST_SECONDS)
    return waits


async def _lateness(owner: Server, other: Server) -> list[float]:
    """Return the milliseconds by which tokens arrive later on another process than on the owner's."""
    turns = await _start_turns(owner)
    began = len(turns[0].received.arrivals)
    readers = [
        await open_stream(other.address, follow(turn.received.turn_id, _LAST_EVENT), is_stamped=True)
        for turn in turns[:_FOLLOWED]
    ]
    await read_all([*turns, *readers], tokens=_TOKENS - _LAST_EVENT, seconds=LONGEST_SECONDS)
    live = 2 * began
    return [
        late
        for turn, reader in zip(turns, readers, strict=False)
        for late in _later(turn.received, reader.received, live)
    ]


def _later(there: Received, here: Received, first: int) -> list[float]:
    came = dict(there.arrivals)
    # The events before it arrived at once, because they were missed.
    return [(arrival - came[sent]) / 1e6 for sent, arrival in here.arrivals[first:] if sent in came]


RESUME = Measure("resume", "a reader comes back", ("service",), _resume)
