"""No peer at all: the load goes to the fake backend. The baseline for what the peers add."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.peers.peer import Peer, Server, completion_request
from benchmarks.stage import Stage


@asynccontextmanager
async def _start(stage: Stage) -> AsyncIterator[Server]:
    yield Server(stage.backend, completion_request, os.getpid())


DIRECT = Peer("direct", "backend", _start)
