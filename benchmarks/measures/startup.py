"""Time from the start of the process until it logs that it listens."""

import asyncio
import time

from benchmarks.effort import Effort, Values
from benchmarks.measures.measure import Measure, quantile
from benchmarks.peers import Peer
from benchmarks.stage import Stage

_POLL_SECONDS = 0.005
_LONGEST_SECONDS = 60.0


async def _start(stage: Stage, peer: Peer, effort: Effort) -> Values:
    seconds = []
    for _ in range(effort.starts):
        began = time.monotonic()
        async with peer.start(stage) as server, asyncio.timeout(_LONGEST_SECONDS):
            log = stage.folder / f"service-{server.address.port}.log"
            while '"listening"' not in log.read_text():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(_POLL_SECONDS)
            seconds.append(time.monotonic() - began)
    return {"s": quantile(seconds, 0.5)}


START = Measure("start", "start-up time", ("service",), _start, is_quick=True)
