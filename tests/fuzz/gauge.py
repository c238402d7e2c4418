"""How the service does meanwhile: how soon `/health` answers, and how much memory the process has."""

import asyncio
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from tests.fuzz.world import World

_INTERVAL_SECONDS = 0.1
_MAX_HEALTH_SECONDS = 1.0
_MAX_GROWTH_MB = 300.0
"""From the first look on. A flood may hold some 10 MB of a turn for as long as the turn can be followed."""


class Gauge:
    """Looks at the service until the time is over.

    While other programs keep the machine busy, the service waits for a processor, and no change to it would
    make `/health` any faster. The kernel counts that wait, and it is taken off.
    """

    def __init__(self, world: World, pid: int) -> None:
        self._world = world
        self._process = Path(f"/proc/{pid}")
        self._first_mb = self._last_mb = self._highest_mb = self._memory_mb()
        self._slowest_seconds = 0.0
        self._slowest_measured_seconds = 0.0

    @property
    def report(self) -> str:
        """What was seen."""
        return (
            f"/health took {self._slowest_seconds:.3f} s at most "
            f"({self._slowest_measured_seconds:.3f} s with the wait for a processor)\n"
            f"memory: {self._first_mb:.0f} MB first, {self._highest_mb:.0f} at most, {self._last_mb:.0f} last"
        )

    async def watch(self) -> None:
        """Ask for `/health` on a connection of its own each time, as a probe does.

        It asks from a thread: what the fuzzer's own event loop is busy with is not the service's time.
        """
        while not self._world.is_over.is_set():
            waited = self._waited_seconds()
            status, measured = await asyncio.to_thread(self._ask)
            self._look(status, measured, measured - (self._waited_seconds() - waited))
            await asyncio.sleep(_INTERVAL_SECONDS)

    def _ask(self) -> tuple[int, float]:
        began = time.monotonic()
        with closing(HTTPConnection("127.0.0.1", self._world.port, timeout=30)) as connection:
            connection.request("GET", "/health")
            return connection.getresponse().status, time.monotonic() - began

    def _look(self, status: int, measured: float, seconds: float) -> None:
        self._slowest_measured_seconds = max(self._slowest_measured_seconds, measured)
        self._slowest_seconds = max(self._slowest_seconds, seconds)
        self._last_mb = self._memory_mb()
        self._highest_mb = max(self._highest_mb, self._last_mb)
        if status != 200:
            self._world.violations.append(f"/health answered {status}")
        if seconds > _MAX_HEALTH_SECONDS:
            self._world.violations.append(f"/health took {seconds:.2f} s")
        if self._last_mb > self._first_mb + _MAX_GROWTH_MB:
            self._world.violations.append(f"{self._last_mb:.0f} MB, after {self._first_mb:.0f} MB at first")

    def _memory_mb(self) -> float:
        status = (self._process / "status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    def _waited_seconds(self) -> float:
        return int((self._process / "schedstat").read_text().split()[1]) / 1e9
