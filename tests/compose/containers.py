"""The replicas' containers, as `docker compose` knows them: COMPOSE_FILE or `.env` names the files."""

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass

from tests.support.process import ROOT

_READ_METRICS = (
    "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
)


async def docker(*arguments: str) -> str:
    """Run a command, and give what it prints."""
    process = await asyncio.create_subprocess_exec("docker", *arguments, stdout=PIPE, stderr=STDOUT, cwd=ROOT)
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


@dataclass(frozen=True)
class Replica:
    """A container of the service."""

    container: str

    async def runs(self, turn_id: str) -> bool:
        """Whether it is the one that has started this turn."""
        log = await docker("logs", self.container)
        return any(turn_id in line and "turn started" in line for line in log.splitlines())

    async def followers(self, place: str) -> int:
        """The readers so far that came to a turn that runs there."""
        metrics = await docker("exec", self.container, "python", "-c", _READ_METRICS)
        found = re.search(rf'^chat_follows_total{{place="{place}"}} (\S+)$', metrics, re.MULTILINE)
        return int(float(found[1])) if found else 0


async def running_replicas() -> list[Replica]:
    """Those that are up."""
    return [Replica(container) for container in (await docker("compose", "ps", "--quiet", "app")).split()]
