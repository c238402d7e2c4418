"""`python -m tests.fuzz [MINUTES [SEED]]`: exit code 0 if the service stayed well under random input."""

import asyncio
import random
import secrets
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from app.embedded.store import embedded_store
from tests.fuzz import edge
from tests.fuzz.gauge import Gauge
from tests.fuzz.world import World
from tests.support.backend import running_backend
from tests.support.process import ServiceProcess, started

TARGETS: Mapping[str, Callable[[World], Coroutine[Any, Any, None]]] = {"the HTTP edge": edge.fuzz}
"""What is fuzzed, one after the other, each for the whole time."""


async def main(minutes: float, seed: int) -> int:
    """Fuzz every target, and say what was found."""
    return max([await _fuzz(name, fuzz, minutes, seed) for name, fuzz in TARGETS.items()])


async def _fuzz(
    name: str, fuzz: Callable[[World], Coroutine[Any, Any, None]], minutes: float, seed: int
) -> int:
    with tempfile.TemporaryDirectory() as folder, embedded_store(Path(folder)) as store_url:
        async with (
            running_backend() as backend,
            started(
                Path(folder),
                llm_base_url=backend.url,
                llm_model="test-model",
                redis_url=store_url,
                rate_limit_turns_per_minute=0,
            ) as (service, client),
        ):
            chance = random.Random(seed)  # noqa: S311 - a run can be repeated
            world = World(port=client.base_url.port or 80, backend=backend, chance=chance)
            gauge = Gauge(world, service.process.pid)
            _say(f"{name}, seed {seed}, {minutes:g} minutes")
            async with asyncio.TaskGroup() as tasks:
                log = tasks.create_task(_read_log(service, world))
                tasks.create_task(gauge.watch())
                tasks.create_task(fuzz(world))
                await asyncio.sleep(minutes * 60)
                world.is_over.set()
                log.cancel()
            if service.process.returncode is not None:
                world.violations.append(f"the service ended with exit code {service.process.returncode}")
    _say(f"{dict(world.counts.most_common())}")
    _say(f"/health took {gauge.slowest_seconds:.3f} s at most")
    _say(f"memory: {gauge.first_mb:.0f} MB first, {gauge.highest_mb:.0f} at most, {gauge.last_mb:.0f} last")
    _say("\n".join(sorted(set(world.violations))[:50]) or "the service stayed well")
    return 1 if world.violations else 0


async def _read_log(service: ServiceProcess, world: World) -> None:
    """Take what the service logs, which would block it otherwise. It has no reason to log an error."""
    assert service.process.stderr is not None
    async for line in service.process.stderr:
        world.counts["lines logged"] += 1
        if b'"level":"error"' in line.replace(b" ", b""):
            world.violations.append(line.decode().strip()[:1000])


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - for the person who waits


if __name__ == "__main__":
    arguments = sys.argv[1:]
    sys.exit(
        asyncio.run(
            main(
                float(arguments[0]) if arguments else 10,
                int(arguments[1]) if len(arguments) > 1 else secrets.randbelow(2**32),
            )
        )
    )
