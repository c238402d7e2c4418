"""`python -m tests.soak [MINUTES]`: exit code 0 if nothing was lost, doubled, mixed up or leaked."""

import asyncio
import random
import resource
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from redis.asyncio import Redis

from tests.soak.ledger import Ledger
from tests.soak.visitors import Visitor
from tests.soak.weather import Weather
from tests.support.backend import Exchange, Script, running_backend
from tests.support.chunks import answer
from tests.support.process import ServiceProcess, started
from tests.support.proxy import proxy_to
from tests.support.store import running_turns, tcp_store

_VISITORS = 60
_WORDS = 10
_WORD_SECONDS = 0.03
_SAMPLE_SECONDS = 10.0
_QUIET_SECONDS = 20.0
"""The time for unread turns to end, and for waiting answers to be stored."""
_GROWTH = 1.1
"""Of memory, from the middle third of a run to its last; more is a leak."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the replicas hold together."""

    memory_mb: float
    descriptors: int


@dataclass
class Replica:
    """A process of the service."""

    service: ServiceProcess
    client: httpx.AsyncClient
    log_lines: int = 0

    async def read_log(self) -> None:
        """Take what it logs, which would block it otherwise."""
        assert self.service.process.stderr is not None
        async for _ in self.service.process.stderr:
            self.log_lines += 1


async def main(minutes: float) -> int:
    """Run, and say what was found."""
    ledger = Ledger()
    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            backend = await stack.enter_async_context(running_backend())
            backend.script = _echo(ledger)
            store_url = stack.enter_context(tcp_store(Path(folder)))
            weather = Weather(
                backend=await stack.enter_async_context(proxy_to(_address(backend.url))),
                store=await stack.enter_async_context(proxy_to(_address(store_url))),
            )
            replicas = [await stack.enter_async_context(_replica(Path(folder), weather)) for _ in range(2)]
            samples = await _run(ledger, weather, replicas, minutes)
            async with Redis.from_url(store_url) as redis:
                await ledger.check(redis)
                if left := await running_turns(redis):
                    ledger.violations.append(f"{len(left)} turns still run")
    _check_growth(ledger, samples)
    _say(f"\n{len(ledger.questions)} questions, {weather.faults} faults, {dict(ledger.ends.most_common())}")
    _say(f"{sum(replica.log_lines for replica in replicas)} lines logged")
    _say("\n".join(ledger.violations[:50]) or "nothing lost, doubled, mixed up or leaked")
    return 1 if ledger.violations else 0


async def _run(ledger: Ledger, weather: Weather, replicas: Sequence[Replica], minutes: float) -> list[Sample]:
    """Let visitors ask while the weather changes."""
    clients = [replica.client for replica in replicas]
    is_over = asyncio.Event()
    samples = []
    async with asyncio.TaskGroup() as tasks:
        for n in range(_VISITORS):
            chance = random.Random(n)  # noqa: S311 - what is wanted can be repeated
            tasks.create_task(Visitor(f"user{n}", clients, ledger, chance).ask_until(is_over))
        changing = tasks.create_task(weather.change())
        for n in range(1, int(minutes * 60 / _SAMPLE_SECONDS) + 1):
            await asyncio.sleep(_SAMPLE_SECONDS)
            samples.append(_sample(replicas))
            _say(
                f"{n * _SAMPLE_SECONDS:4.0f} s  {len(ledger.questions):6} asked  {samples[-1]}  {weather.now}"
            )
        changing.cancel()
        is_over.set()
    await asyncio.sleep(_QUIET_SECONDS)
    return [*samples, _sample(replicas)]


def _check_growth(ledger: Ledger, samples: Sequence[Sample]) -> None:
    third = len(samples) // 3
    middle = statistics.median(sample.memory_mb for sample in samples[third : 2 * third])
    last = statistics.median(sample.memory_mb for sample in samples[2 * third :])
    _say(f"\nmemory: {middle:.1f} MB in the middle third, {last:.1f} MB in the last")
    _say(f"descriptors: {samples[0].descriptors} in the beginning, {samples[-1].descriptors} after the end")
    if last > middle * _GROWTH:
        ledger.violations.append("memory grows")
    if samples[-1].descriptors > samples[0].descriptors:
        ledger.violations.append("descriptors are left open")


@asynccontextmanager
async def _replica(folder: Path, weather: Weather) -> AsyncIterator[Replica]:
    async with started(
        folder,
        llm_base_url=f"http://127.0.0.1:{weather.backend.port}/v1",
        llm_model="test-model",
        llm_connect_timeout_seconds=1,
        llm_first_token_timeout_seconds=5,
        llm_token_gap_timeout_seconds=5,
        redis_url=f"redis://127.0.0.1:{weather.store.port}/0",
        resume_grace_seconds=3,
        rate_limit_turns_per_minute=0,
        resume_ttl_seconds=60,
        history_max_messages=100_000,
    ) as (service, client):
        replica = Replica(service, client)
        reading = asyncio.create_task(replica.read_log())
        try:
            yield replica
        finally:
            reading.cancel()
            await asyncio.wait({reading})


def _echo(ledger: Ledger) -> Script:
    """A backend that repeats the question, and checks the prompt for texts of other users."""

    async def script(exchange: Exchange) -> None:
        _, *messages = exchange.body["messages"]
        question = messages[-1]["content"]
        user = question.partition(" ")[0]
        if not all(message["content"].startswith(f"{user} ") for message in messages):
            ledger.violations.append(f"a text of another user is in the prompt of {question}")
        await exchange.head()
        for part in answer(question, *(f" word{n}" for n in range(_WORDS))):
            await exchange.send(part)
            await asyncio.sleep(_WORD_SECONDS)

    return script


def _sample(replicas: Sequence[Replica]) -> Sample:
    folders = [Path(f"/proc/{replica.service.process.pid}") for replica in replicas]
    pages = sum(int((folder / "statm").read_text().split()[1]) for folder in folders)
    descriptors = sum(len(list((folder / "fd").iterdir())) for folder in folders)
    return Sample(pages * resource.getpagesize() / 2**20, descriptors)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.port is not None  # they listen on one
    return str(parts.hostname), parts.port


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - for the person who waits


if __name__ == "__main__":
    sys.exit(asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10)))
