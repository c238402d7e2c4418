"""`python -m tests.fuzz [MINUTES [SEED [TARGET]]]`: exit code 0 if the service stayed well."""

import asyncio
import random
import secrets
import sys
import tempfile
from pathlib import Path

from app.embedded.store import embedded_store
from tests.fuzz import backend, edge
from tests.fuzz.gauge import Gauge
from tests.fuzz.world import Target, World
from tests.support.backend import running_backend
from tests.support.process import ServiceProcess, started

TARGETS = (edge.TARGET, backend.TARGET)
"""What is fuzzed, one after the other, each for the whole time."""


async def main(minutes: float, seed: int, name: str) -> int:
    """Fuzz every target whose name has this in it, and say what was found."""
    chosen = [target for target in TARGETS if name in target.name]
    return max([await _fuzz(target, minutes, seed) for target in chosen])


async def _fuzz(target: Target, minutes: float, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder, embedded_store(Path(folder)) as store_url:
        async with (
            running_backend() as backend,
            started(
                Path(folder),
                llm_base_url=backend.url,
                llm_model="test-model",
                redis_url=store_url,
                rate_limit_turns_per_minute=0,
                **target.settings,
            ) as (service, client),
        ):
            chance = random.Random(seed)  # noqa: S311 - a run can be repeated
            world = World(port=client.base_url.port or 80, backend=backend, chance=chance)
            gauge = Gauge(world, service.process.pid)
            _say(f"\n{target.name}: {minutes:g} minutes, seed {seed}")
            async with asyncio.TaskGroup() as tasks:
                log = tasks.create_task(_read_log(service, world))
                tasks.create_task(gauge.watch())
                fuzzing = tasks.create_task(target.fuzz(world))
                await asyncio.sleep(minutes * 60)
                world.is_over.set()
                await fuzzing
                log.cancel()
            if service.process.returncode is not None:
                world.violations.append(f"the service ended with exit code {service.process.returncode}")
    _say(f"{dict(world.counts.most_common())}")
    _say(gauge.report)
    _say("\n".join(sorted(set(world.violations))[:50]) or "the service stayed well")
    return 1 if world.violations else 0


async def _read_log(service: ServiceProcess, world: World) -> None:
    """Take what the service logs, which would block it otherwise. It has no reason to log an error."""
    assert service.process.stderr is not None
    async for line in service.process.stderr:
        world.counts["lines logged"] += 1
        if b'"level":"error"' in line.replace(b" ", b"") or b"unseen" in line:
            world.violations.append(line.decode().strip()[:1000])


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - for the person who waits


if __name__ == "__main__":
    minutes, seed, name, *_ = [*sys.argv[1:], *("10", str(secrets.randbelow(2**32)), "")[len(sys.argv) - 1 :]]
    sys.exit(asyncio.run(main(float(minutes), int(seed), name)))
