"""The footprint of a process: its tasks and its descriptors."""

import asyncio
import socket
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

_DESCRIPTORS = Path("/dev/fd")


class Footprint(NamedTuple):
    """Tasks and descriptors at one moment, to compare with a later one."""

    tasks: Counter[str]
    descriptors: int

    def is_within(self, earlier: "Footprint") -> bool:
        """Tell whether nothing has been added since an earlier moment."""
        return self.tasks <= earlier.tasks and self.descriptors <= earlier.descriptors


def footprint(*, pooled_ports: Collection[int]) -> Footprint:
    """Count the tasks and open descriptors of this process.

    Args:
        pooled_ports: Connections of these ports are not counted, because a pool keeps them.
    """
    names = (_name(task) for task in asyncio.all_tasks())
    tasks = Counter(name for name in names if not name.startswith("Proxy."))
    return Footprint(tasks, _open_descriptors(pooled_ports))


def _name(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", task.get_name())


def _open_descriptors(pooled_ports: Collection[int]) -> int:
    return sum(not _is_pooled(int(each.name), pooled_ports) for each in _DESCRIPTORS.iterdir())


def _is_pooled(descriptor: int, ports: Collection[int]) -> bool:
    """Tell whether a descriptor is a connection with one of these ports at either end."""
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:  # a file, or closed by now
        return False
    try:
        return connection.family == socket.AF_INET and any(
            port in ports for _, port in (connection.getsockname(), connection.getpeername())
        )
    except OSError:  # not connected
        return False
    finally:
        connection.detach()
