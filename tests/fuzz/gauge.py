"""How the service does meanwhile: how soon `/health` answers, and how much memory the process has."""

import asyncio
import re
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from tests.fuzz.world import World

_INTERVAL_SECONDS = 0.1
_MAX_HEALTH_SECONDS = 1.0
_MAX_GROWTH_MB = 256.0
"""From the first look on. What the fuzzer may have in flight at once fits into it many times."""


class Gauge:
    """Looks at the service until the time is over."""

    def __init__(self, world: World, pid: int) -> None:
        self._world = world
        self._status = Path(f"/proc/{pid}/status")
        self.first_mb = self.last_mb = self.highest_mb = self._memory_mb()
        self.slowest_seconds = 0.0

    async def watch(self) -> None:
        """Ask for `/health` on a connection of its own each time, as a probe does.

        It asks from a thread: what the fuzzer's own event loop is busy with is not the service's time.
        """
        while not self._world.is_over.is_set():
            status, seconds = await asyncio.to_thread(self._ask)
            self._look(status, seconds)
            await asyncio.sleep(_INTERVAL_SECONDS)

    def _ask(self) -> tuple[int, float]:
        began = time.monotonic()
        with closing(HTTPConnection("127.0.0.1", self._world.port, timeout=30)) as connection:
            connection.request("GET", "/health")
            return connection.getresponse().status, time.monotonic() - began

    def _look(self, status: int, seconds: float) -> None:
        self.slowest_seconds = max(self.slowest_seconds, seconds)
        self.last_mb = self._memory_mb()
        self.highest_mb = max(self.highest_mb, self.last_mb)
        if status != 200:
            self._world.violations.append(f"/health answered {status}")
        if seconds > _MAX_HEALTH_SECONDS:
            self._world.violations.append(f"/health took {seconds:.2f} s")
        if self.last_mb > self.first_mb + _MAX_GROWTH_MB:
            self._world.violations.append(
                f"{self.last_mb:.0f} MB, after {self.first_mb:.0f} MB in the beginning"
            )

    def _memory_mb(self) -> float:
        resident = re.search(r"VmRSS:\s+(\d+) kB", self._status.read_text())
        assert resident is not None
        return int(resident[1]) / 1024
