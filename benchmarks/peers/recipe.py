"""The plain recipe under uvicorn, in the service's own environment."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.load import Address
from benchmarks.peers.peer import Peer, Server, completion_request
from benchmarks.process import environment, free_port, running, until_it_listens
from benchmarks.stage import Stage


@asynccontextmanager
async def _start(stage: Stage) -> AsyncIterator[Server]:
    address = Address(free_port())
    async with running(
        [
            *stage.under,
            *(sys.executable, "-m", "uvicorn", "benchmarks.peers.recipe_app:app"),
            *("--port", str(address.port), "--no-access-log", "--log-level", "warning"),
        ],
        cores=stage.cores.server,
        env=environment(llm_base_url=stage.backend_url),
        folder=stage.folder,
        log="recipe.log",
    ) as process:
        await until_it_listens(process, address.port, stage.folder / "recipe.log")
        yield Server(address, completion_request, process.pid)


RECIPE = Peer("recipe", "plain recipe", _start)
