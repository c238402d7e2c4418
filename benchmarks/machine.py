"""The machine: its cores, and the CPU and memory that a process uses. Works only on Linux."""

import os
import platform
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")


class Cores(NamedTuple):
    """The cores of the server under test and those of the load."""

    server: frozenset[int]
    load: frozenset[int]


def split_cores() -> Cores:
    """Give one core to the server under test, and the others to its backend, store and clients."""
    first, *others = sorted(os.sched_getaffinity(0))
    return Cores(frozenset({first}), frozenset(others or {first}))


def raise_descriptor_limit() -> int:
    """Allow as many open files as the machine does, in this process and in its children."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its children have used, in nanoseconds."""
    return sum(time.clock_gettime(_cpu_clock(each)) for each in _family(pid))


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its children."""
    pages = sum(int((_PROC / str(each) / "statm").read_text().split()[1]) for each in _family(pid))
    return pages * resource.getpagesize()


def describe() -> dict[str, str]:
    """Describe the machine for a reader of the numbers."""
    return {
        "cpu": _cpu_name(),
        "cores": str(os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
    }


def _cpu_clock(pid: int) -> int:
    # As clock_getcpuclockid(3) does it: the utime and stime in /proc are rounded to 10 ms.
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
