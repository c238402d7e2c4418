"""A child process that cannot outlive its parent."""

import importlib.util
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import Self, cast

import structlog

from app.embedded.errors import EmbeddedError

_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_MAX_LOG_BYTES = 16 * 1024

# The process at the other end of standard input keeps the child alive. The kernel closes that end with the
# parent, also when it is killed, on Linux and macOS alike. Then the shell asks the child to end. A shell
# costs a hundredth of a second Python interpreter.
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
        self,
        name: str,
        command: Sequence[str],
        *,
        log_file: Path,
        pass_fds: Sequence[int] = (),
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start the command. Files that it makes are its user's alone.

        Args:
            name: The command's name in messages.
            command: The command line; its standard input is empty.
            log_file: File that takes its standard error, from this start on.
            pass_fds: File descriptors that it keeps open.
            variables: Environment variables that it gets beside the service's own. Unlike a command line,
                other users of the machine cannot read them.
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
                env={**os.environ, **(variables or {})},
                umask=0o077,
            )

    @property
    def output(self) -> BufferedReader:
        """Standard output of the command."""
        return cast(BufferedReader, self._guard.stdout)

    def wait_until(self, is_ready: Callable[[], bool], *, seconds: float) -> None:
        """Poll until it is ready, and log a line for every second of waiting.

        Raises:
            EmbeddedError: It ended, or took longer than `seconds`.
        """
        started = logged = time.monotonic()
        while not is_ready():
            now = time.monotonic()
            if self._guard.poll() is not None:
                raise EmbeddedError(f"{self._name} ended while it started{self._last_words()}")
            if now - started > seconds:
                raise EmbeddedError(f"{self._name} did not start within {seconds:g} s{self._last_words()}")
            if now - logged > 1:
                logged = now
                _log.info("embedded part still starting", what=self._name, seconds=round(now - started))
            time.sleep(_POLL_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask it to end, and wait until it has."""
        assert self._guard.stdin is not None  # opened above
        with suppress(BrokenPipeError):
            self._guard.stdin.close()
        try:
            self._guard.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            _log.error("embedded part killed", what=self._name, reason="it did not end")
            os.killpg(self._guard.pid, signal.SIGKILL)  # the guard leads its session
            self._guard.wait()
        self.output.close()

    def _last_words(self) -> str:
        with self._log_file.open("rb") as log:
            log.seek(max(0, self._log_file.stat().st_size - _MAX_LOG_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {last} (more in {self._log_file})" if last else f"; see {self._log_file}"


def package_file(package: str, pattern: str) -> Path | None:
    """Find a file that an installed package carries, without importing the package."""
    found = importlib.util.find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        for path in Path(folder).glob(pattern):
            return path
    return None
