"""A child process that cannot outlive its parent."""

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Self, cast

import structlog

from app.embedded.errors import EmbeddedError

_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02

# Whoever holds the other end of standard input keeps the child alive. The kernel closes that end with the
# parent, also when it is killed, on Linux and macOS alike; then the child is asked to end. A shell costs a
# hundredth of a second Python interpreter.
_GUARD = """
exec 3<&0
"$@" </dev/null 3<&- & child=$!
{ read -r _ <&3; kill "$child"; } 2>/dev/null & watcher=$!
wait "$child"; status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""

_log = structlog.get_logger()


class EmbeddedProcess:
    """A command in a session of its own: the Ctrl-C of the foreground group must not reach it."""

    def __init__(
        self, name: str, command: Sequence[str], *, log_file: Path, pass_fds: Sequence[int] = ()
    ) -> None:
        """Start the command.

        Args:
            name: What a person calls it.
            command: What to run; its standard input is empty.
            log_file: Takes its standard error, from this start on.
            pass_fds: File descriptors that it keeps open.
        """
        self._name = name
        self._log_file = log_file
        with log_file.open("wb") as log:
            self._guard = subprocess.Popen(  # noqa: S603 - the commands are our own
                ["/bin/sh", "-c", _GUARD, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                pass_fds=pass_fds,
            )

    @property
    def output(self) -> BufferedReader:
        """Its standard output."""
        return cast(BufferedReader, self._guard.stdout)

    def wait_until(self, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll until it is ready, with a line for whoever waits longer than a second.

        Raises:
            EmbeddedError: It ended, or took longer than `seconds`.
        """
        started = told = time.monotonic()
        while not is_ready():
            now = time.monotonic()
            if self._guard.poll() is not None:
                raise EmbeddedError(f"{self._name} ended while it started; {self._log_file} says why.")
            if now - started > seconds:
                raise EmbeddedError(f"{self._name} did not start within {seconds:g} s; see {self._log_file}.")
            if now - told > 1:
                told = now
                _log.info("still starting", what=self._name, seconds=round(now - started))
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of it, and wait until it has ended."""
        assert self._guard.stdin is not None  # opened above
        with suppress(BrokenPipeError):
            self._guard.stdin.close()
        try:
            self._guard.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _log.error("an embedded part does not end; killing it", what=self._name)
            os.killpg(self._guard.pid, signal.SIGKILL)  # the guard leads its session
            self._guard.wait()
        self.output.close()


def package_file(package: str, pattern: str) -> Path | None:
    """A file that an installed package carries; the package itself is not imported."""
    found = importlib.util.find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        for path in Path(folder).glob(pattern):
            return path
    return None
