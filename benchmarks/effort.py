"""The effort of a run: full for figures, or quick for a look."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

Values = Mapping[str, float]
"""The values of one measurement, by name and unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effort:
    """The sizes that differ between `make bench` and `make bench-quick`."""

    name: str
    rounds: int
    burst_seconds: float
    """How long bursts of answers are requested."""
    arrival_seconds: float
    """How long new streams arrive, and how long requests a second are counted."""
    open_streams: int
    resumes: int
    starts: int
    hold_seconds: float = 0
    """How long a load is repeated on one process, so that the process can be profiled."""

    async def hold(self, pid: int, measure: Callable[[], Awaitable[Values]]) -> Values:
        """Measure once, or repeatedly while the process is profiled; the last result counts."""
        if self.hold_seconds:
            print(f"pid {pid}, for {self.hold_seconds:g} s", flush=True)  # noqa: T201 - for the person who profiles it
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
