"""The machine: its cores, and what a process takes of them and of the memory. Linux alone has all this."""

import os
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Cores(NamedTuple):
    """Which cores who runs on."""

    server: frozenset[int]
    load: frozenset[int]


def split_cores() -> Cores:
    """One core for the server under test, the others for what it talks to."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({first}), frozenset(others or {first}))


def raise_descriptor_limit() -> int:
    """Allow as many open files as the machine does, here and in what is started from here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children so far, to the nanosecond."""
    return sum(time.clock_gettime(_cpu_clock(each)) for each in _family(pid))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its children."""
    pages = sum(int((_PROC / str(each) / "statm").read_text().split()[1]) for each in _family(pid))
    return pages * resource.getpagesize()


def describe() -> dict[str, str]:
    """What a reader of the numbers wants to know of the machine."""
    return {
        "cpu": _cpu_name(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
    }


def _cpu_clock(pid: int) -> int:
    # As clock_getcpuclockid(3) makes it: what /proc shows of utime and stime is rounded to 10 ms.
    return (~pid << 3) | 2


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in (_PROC / str(pid) / "task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _cpu_name() -> str:
    for line in (_PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
