"""Instructions of the server's process for a turn and for a token, as callgrind counts them.

They hardly differ between two runs, so they show what a change saves even on a noisy machine. They are those
of the process alone: what the kernel does for it is in the CPU time.
"""

import asyncio
import re
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.effort import Effort, Values
from benchmarks.load import LoadError, ask_all, read_all
from benchmarks.measures.measure import Measure
from benchmarks.peers import Peer, Server
from benchmarks.question import Question
from benchmarks.stage import Stage

_ROUNDS = 10
_STREAMS = 4
_TOKENS = 200
_RATE = 50
"""Tokens a second: slow enough that under callgrind, too, each is written before the next one comes."""
_LONGEST_SECONDS = 600.0
_SETTLE_SECONDS = 2.0
_COUNTED = re.compile(rb"^(?:summary|totals): (\d+)", re.MULTILINE)
_CALLGRIND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=callgrind.out.%p")


async def _instructions(stage: Stage, peer: Peer, effort: Effort) -> Values:
    if shutil.which("valgrind") is None:
        raise LoadError("valgrind is not installed")
    async with peer.start(replace(stage, under=_CALLGRIND)) as server:
        await _ask(server, Question(1), rounds=_ROUNDS)

        async def measure() -> Values:
            short, long = Question(1), Question(_TOKENS + 1, rate=_RATE)
            turns = await _count(stage, server, lambda: _ask(server, short, rounds=_ROUNDS))
            a_turn = turns / _ROUNDS / _STREAMS
            answers = await _count(stage, server, lambda: _ask(server, long, rounds=1))
            a_token = (answers / _STREAMS - a_turn) / _TOKENS
            return {"a turn, thousands": a_turn / 1000, "a token, thousands": a_token / 1000}

        return await effort.hold(server.pid, measure)


async def _ask(server: Server, question: Question, *, rounds: int) -> None:
    for _ in range(rounds):
        requests = [server.request(question) for _ in range(_STREAMS)]
        opened = await ask_all(server.address, requests, interval_seconds=0)
        await read_all(opened, tokens=question.tokens, seconds=_LONGEST_SECONDS)


async def _count(stage: Stage, server: Server, work: Callable[[], Awaitable[None]]) -> int:
    """Count the instructions for some work, without those that so much time costs alone."""
    began = time.monotonic()
    with_work = await _count_all(stage, server, work)
    seconds = time.monotonic() - began
    return with_work - await _count_all(stage, server, lambda: asyncio.sleep(seconds - _SETTLE_SECONDS))


async def _count_all(stage: Stage, server: Server, work: Callable[[], Awaitable[None]]) -> int:
    await _dump(stage.folder, server.pid)
    await work()
    await asyncio.sleep(_SETTLE_SECONDS)
    return await _dump(stage.folder, server.pid)


async def _dump(folder: Path, pid: int) -> int:
    """Return the instructions since the last call, and begin to count anew."""
    written = len(_dumps(folder, pid))
    control = await asyncio.create_subprocess_exec(
        *("callgrind_control", "--dump", str(pid)),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await control.wait()
    found = _dumps(folder, pid)
    if control.returncode or len(found) <= written:
        raise LoadError("callgrind writes no counts")
    return sum(int(count) for count in _COUNTED.findall(found[-1].read_bytes()))


def _dumps(folder: Path, pid: int) -> list[Path]:
    return sorted(folder.glob(f"callgrind.out.{pid}.*"), key=lambda path: int(path.suffix[1:]))


INSTRUCTIONS = Measure(
    "instructions",
    "instructions, counted by callgrind",
    ("service", "service-v1", "recipe"),
    _instructions,
    is_once=True,
)
