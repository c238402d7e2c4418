"""No peer at all: the load asks the fake backend. What the others add is told against this."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.peers.peer import Peer, Server, completion_request
from benchmarks.stage import Stage


@asynccontextmanager
async def _start(stage: Stage) -> AsyncIterator[Server]:
    yield Server(stage.backend, completion_request, os.getpid())


DIRECT = Peer("direct", "backend", _start)
