"""Bring the client packages of Node.js that tests use, from npm into `.venv/npm-clients`.

`tests/clients/package-lock.json` pins them. If they cannot be brought, those tests are skipped.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from npm_packages import npm_command

WANTED = Path(__file__).parents[1] / "tests" / "clients"
PACKAGES = Path(__file__).parents[1] / ".venv" / "npm-clients"
LOCK = "package-lock.json"
COMPLETE = PACKAGES / "complete.json"
"""A copy of the lock file, written last: if it is there, the packages are complete."""

_INSTALL_SECONDS = 180


def are_complete() -> bool:
    """Tell whether the packages that tests want are there."""
    return COMPLETE.exists() and COMPLETE.read_bytes() == (WANTED / LOCK).read_bytes()


def main() -> int:
    """Install the packages, unless they are there already."""
    if are_complete():
        return 0
    npm = npm_command()
    if npm is None:
        print("npm-clients: skipped, there is no npm on this machine")
        return 0
    shutil.rmtree(PACKAGES, ignore_errors=True)
    PACKAGES.mkdir(parents=True)
    for name in ("package.json", LOCK):
        shutil.copy(WANTED / name, PACKAGES)
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error"]
    try:
        subprocess.run([*npm, "ci", *options], cwd=PACKAGES, timeout=_INSTALL_SECONDS, check=True)  # noqa: S603 - a command of our own
    except (OSError, subprocess.SubprocessError) as error:
        print(f"npm-clients: skipped, npm could not install them ({type(error).__name__})")
        return 0
    shutil.copy(WANTED / LOCK, COMPLETE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
