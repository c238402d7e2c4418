"""How much is measured: enough to tell, or a look."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Values = Mapping[str, float]
"""What one measurement found, by name and unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """The sizes that differ between `make bench` and `make bench-quick`."""

    name: str
    rounds: int
    burst_seconds: float
    """For how long bursts of answers are asked for."""
    arrival_seconds: float
    """For how long new streams come, and how long requests a second are counted."""
    open_streams: int
    resumes: int
    starts: int
    hold_seconds: float = 0
    """For how long a load is repeated on one process, so that it can be profiled."""

    async def hold(self, pid: int, measure: Callable[[], Awaitable[Values]]) -> Values:
        """Measure once, or again and again; the last result counts."""
        if self.hold_seconds:
            print(f"pid {pid}, for {self.hold_seconds:g} s", flush=True)  # noqa: T201 - for who profiles it
        began = time.monotonic()
        result = await measure()
        while time.monotonic() - began < self.hold_seconds:
            result = await measure()
        return result


FULL = Effort(
    name="full",
    rounds=3,
    burst_seconds=10,
    arrival_seconds=20,
    open_streams=5000,
    resumes=200,
    starts=7,
)
QUICK = Effort(
    name="quick",
    rounds=1,
    burst_seconds=2,
    arrival_seconds=4,
    open_streams=1000,
    resumes=60,
    starts=3,
)
