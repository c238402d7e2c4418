"""The README's first command on bare machines; see `make test-bare`."""

import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bare.root import BareRoot, make_root
from tests.support.ports import free_port
from tests.support.process import ROOT

pytestmark = [pytest.mark.bare, pytest.mark.timeout(1200)]

SUITES = os.environ.get("SUITES", "trixie forky").split()
_START_SECONDS = 600.0


@pytest.fixture(scope="session", params=SUITES)
def root(request: pytest.FixtureRequest) -> Iterator[BareRoot]:
    # Only root may enter pytest's own folder.
    folder = Path(f"/var/tmp/bare-{request.param}-{os.getpid()}")  # noqa: S108 - made by mmdebstrap
    try:
        yield make_root(request.param, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def the_first_curl(port: int) -> str:
    """Return the README's first curl, for a service on another port."""
    found = re.search(r"curl -N (?:.*\\\n)*.*", (ROOT / "README.md").read_text())
    assert found is not None
    return found[0].replace("localhost:8000", f"localhost:{port}")


@contextmanager
def running(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield process
        finally:
            process.kill()  # unshare passes no other signal on; all that it runs ends with it


def wait_until_ready(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def test_make_run_answers_the_readmes_curl_for_a_plain_user(root: BareRoot, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    missing = root.command("command -v cc gcc g++ clang; test -e /usr/lib/*/libgomp.so.1")
    assert subprocess.run(missing, check=False).returncode != 0
    with running(root.command("make run", APP_PORT=port), log) as process:
        wait_until_ready(port, process, log)
        answer = subprocess.run(
            root.command(the_first_curl(port)), check=True, capture_output=True, text=True, timeout=120
        ).stdout
    assert '"delta":{' in answer
    assert answer.rstrip().endswith("data: [DONE]")
