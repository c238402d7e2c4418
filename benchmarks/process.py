"""Processes that the benchmarks start, each on its cores."""

import asyncio
import os
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]

_START_SECONDS = 400.0
"""Under callgrind a server takes a minute, and longer on a busy machine."""
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.01
_LOG_CHARACTERS = 2000


class StartError(Exception):
    """A process does not start."""


def free_port() -> int:
    """Find a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def environment(**variables: object) -> dict[str, str]:
    """Make an environment that has only the shell's PATH: variables of the developer must not count."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        **{name.upper(): str(value) for name, value in variables.items()},
    }


@asynccontextmanager
async def running(
    command: Sequence[str], *, cores: Collection[int], env: Mapping[str, str], folder: Path, log: str
) -> AsyncIterator[Process]:
    """Run a command in the folder that gets its log, and end it with the context."""
    with (folder / log).open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("taskset", "--cpu-list", ",".join(map(str, sorted(cores)))),
            *command,
            cwd=folder,
            env=env,
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()


async def until_it_listens(process: Process, port: int, log: Path) -> None:
    """Wait until a started server listens.

    Raises:
        StartError: The process ended, or takes too long.
    """
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _listens(port):
                if process.returncode is not None:
                    raise StartError(f"ended with {process.returncode}: {_end_of(log)}")
                await asyncio.sleep(_POLL_SECONDS)
    except TimeoutError:
        raise StartError(f"does not listen after {_START_SECONDS:g} s: {_end_of(log)}") from None


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-_LOG_CHARACTERS:]


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
