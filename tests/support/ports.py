"""Ports of this machine, distinct between the processes that run tests at the same time."""

import itertools
import os
import socket

_FIRST, _LAST = 10_000, 32_000
"""Below the range from which the kernel takes ports for connections and for servers that ask for any port."""
_PORTS_OF_A_PROCESS = 1_009

_candidates = itertools.count(os.getpid() * _PORTS_OF_A_PROCESS)
"""The workers of a run have neighbouring process ids, so each begins at a part of the range of its own."""


def free_port() -> int:
    """Find a port on which nothing listens, and which no other test uses."""
    while True:
        port = _FIRST + next(_candidates) % (_LAST - _FIRST)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError:
            continue  # another program listens there


def free_ports(count: int) -> list[int]:
    """Find that many free ports, all different."""
    return [free_port() for _ in range(count)]
