"""The service as a process of its own, as users start it."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]


@dataclass
class ServiceProcess:
    """A started service, and its log lines so far."""

    process: Process
    log: list[dict[str, Any]] = field(default_factory=list)

    async def logged(self, event: str) -> dict[str, Any]:
        """Read the log until a line whose event begins with this text."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            entry = json.loads(line)
            self.log.append(entry)
            if entry["event"].startswith(event):
                found: dict[str, Any] = entry
                return found
        raise AssertionError(f"the service ended without {event!r}: {self.log}")

    async def ended(self) -> int:
        """Wait until the process ends, and return its exit code."""
        assert self.process.stderr is not None
        rest = await self.process.stderr.read()
        self.log += [json.loads(line) for line in rest.splitlines()]
        return await self.process.wait()


def environment(**variables: object) -> dict[str, str]:
    """Return the machine's environment with these variables added."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "APP_PORT": "0"} | {
        name.upper(): str(value) for name, value in variables.items()
    }


async def run_to_end(cwd: Path, *command: str, **variables: object) -> tuple[int | None, str]:
    """Run a service that is expected to end; return its exit code and its standard error."""
    process = await asyncio.create_subprocess_exec(
        *(command or (sys.executable, "-m", "app")), cwd=cwd, env=environment(**variables), stderr=PIPE
    )
    _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


@asynccontextmanager
async def started(
    cwd: Path, module: str = "app", /, **variables: object
) -> AsyncIterator[tuple[ServiceProcess, httpx.AsyncClient]]:
    """Start the service, or a module that runs it, and wait until it listens.

    If it still runs at the end, it is killed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        cwd=cwd,
        env=environment(log_format="json", **variables),
        stderr=PIPE,
    )
    service = ServiceProcess(process)
    try:
        url = (await service.logged("listening"))["url"]
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            yield service, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
