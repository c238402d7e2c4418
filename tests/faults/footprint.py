"""What a process holds: its tasks and its descriptors."""

import asyncio
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_DESCRIPTORS = Path("/proc/self/fd")
_CONNECTIONS = Path("/proc/net/tcp")


class Footprint(NamedTuple):
    """To be compared with a later one."""

    tasks: Counter[str]
    descriptors: int

    def is_within(self, earlier: "Footprint") -> bool:
        """Whether nothing has been added."""
        return self.tasks <= earlier.tasks and self.descriptors <= earlier.descriptors


def footprint(*, pooled_ports: Collection[int]) -> Footprint:
    """The tasks and open descriptors of this process.

    Args:
        pooled_ports: Connections of these ports are left out: a pool keeps them.
    """
    names = (_name(task) for task in asyncio.all_tasks())
    tasks = Counter(name for name in names if not name.startswith("Proxy."))
    return Footprint(tasks, _open_descriptors(pooled_ports))


def _name(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", task.get_name())


def _open_descriptors(pooled_ports: Collection[int]) -> int:
    """Their number, where the system tells; elsewhere none."""
    if not _DESCRIPTORS.exists():
        return 0
    pooled = _sockets(pooled_ports)
    count = 0
    for descriptor in _DESCRIPTORS.iterdir():
        with suppress(FileNotFoundError):  # the one that the listing itself had open
            count += str(descriptor.readlink()) not in pooled
    return count


def _sockets(ports: Collection[int]) -> set[str]:
    """The connections that have one of these ports at either end, as links to them are called."""
    found = set()
    for line in _CONNECTIONS.read_text().splitlines()[1:]:
        _, local, remote, *rest = line.split()
        if {int(address.rpartition(":")[2], 16) for address in (local, remote)} & set(ports):
            found.add(f"socket:[{rest[6]}]")
    return found
