"""A child that cannot outlive its parent, whichever way that one ends."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.embedded import process
from app.embedded.errors import EmbeddedError
from app.embedded.process import EmbeddedProcess
from tests.support.process import ROOT

PARENT = """
import pathlib, time
from app.embedded.process import EmbeddedProcess
child = EmbeddedProcess("a child", ["sh", "-c", "echo $$; exec sleep 1000"], log_file=pathlib.Path("log"))
print(child.output.readline().decode(), flush=True)
time.sleep(1000)
"""


def wait_for_end(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_is_gone_when_its_parent_is_killed(tmp_path: Path, how: signal.Signals) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], cwd=tmp_path, env=env, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(how)
    wait_for_end(child)


def test_the_error_of_a_child_that_ends_while_it_starts_has_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["sh", "-c", "echo first >&2; echo libgomp.so.1 is missing >&2; echo >&2; exit 3"]
    with EmbeddedProcess("a child", command, log_file=log) as child, pytest.raises(EmbeddedError) as error:
        child.wait_until(lambda: False, seconds=60)
    assert str(error.value) == f"a child ended while it started: libgomp.so.1 is missing (more in {log})"


def test_the_error_of_a_child_without_last_words_names_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with EmbeddedProcess("a child", ["false"], log_file=log) as child, pytest.raises(EmbeddedError) as error:
        child.wait_until(lambda: False, seconds=60)
    assert str(error.value) == f"a child ended while it started; see {log}"


def test_a_child_that_takes_too_long_stops_the_start(tmp_path: Path) -> None:
    command = ["sleep", "1000"]
    with (
        EmbeddedProcess("a child", command, log_file=tmp_path / "log") as child,
        pytest.raises(EmbeddedError, match=r"did not start within 0\.05 s"),
    ):
        child.wait_until(lambda: False, seconds=0.05)


def test_files_of_a_child_are_its_users_alone_and_its_variables_are_handed_over(tmp_path: Path) -> None:
    file = tmp_path / "file"
    command = ["sh", "-c", 'echo "$SECRET" > "$0"; echo done', str(file)]
    variables = {"SECRET": "a key"}
    with EmbeddedProcess("a child", command, log_file=tmp_path / "log", variables=variables) as child:
        assert child.output.readline() == b"done\n"
    assert file.read_text() == "a key\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_child_that_does_not_end_when_it_is_asked_to_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_STOP_SECONDS", 0.1)
    command = ["sh", "-c", "trap '' TERM; echo $$; while :; do sleep 0.01; done"]
    with EmbeddedProcess("a child", command, log_file=tmp_path / "log") as child:
        pid = int(child.output.readline())
    wait_for_end(pid)
