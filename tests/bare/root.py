"""A bare Debian in a folder, as mmdebstrap makes it, and commands that a plain user runs in it."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import ROOT

_PACKAGES = "ca-certificates,curl,make,python3,python3-venv"
"""What the README asks for; no compiler, and no library that only other packages bring."""
_USER = 1000
_HOME = "/home/user"
_GIT = shutil.which("git") or "git"
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_PASSED_ON = re.compile(r"PIP_.*|UV_.*|SSL_CERT_FILE|(?i:https?|no)_proxy")
"""Variables by which this machine reaches its package registry."""

# Its own processes and mounts: they end with it, and nothing of them stays in the folder.
_ENTER = """
mount --bind /dev "$0/dev"
mount -t proc proc "$0/proc"
exec chroot --userspec={user}:{user} "$0" env -i "$@"
"""


@dataclass(frozen=True)
class BareRoot:
    """The root file system, with a clone of this repository in the user's home."""

    folder: Path

    def command(self, line: str, **variables: object) -> list[str]:
        """Return the command that runs a shell's line as the user, in the clone."""
        environment = {
            **{name: value for name, value in os.environ.items() if _PASSED_ON.fullmatch(name)},
            "HOME": _HOME,
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            **variables,
        }
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-ec", _ENTER.format(user=_USER), str(self.folder)),
            *(f"{name}={value}" for name, value in environment.items()),
            *("sh", "-c", f"cd {_HOME}/clone && {line}"),
        ]


def make_root(suite: str, folder: Path) -> BareRoot:
    """Make the root file system of a release of Debian.

    Raises:
        CalledProcessError: mmdebstrap or git fails.
    """
    mmdebstrap = [
        *("mmdebstrap", "--quiet", "--variant=minbase", f"--include={_PACKAGES}"),
        # A mirror may lag behind what its lists promise.
        '--aptopt=Acquire::Check-Valid-Until "false"',
        *(suite, str(folder)),
    ]
    subprocess.run(mmdebstrap, check=True)
    for file in (Path("/etc/resolv.conf"), Path("/etc/hosts"), Path("/etc/pip.conf"), _CERTIFICATES):
        if file.exists():
            shutil.copyfile(file, folder / file.relative_to("/"))
    clone = folder / _HOME.lstrip("/") / "clone"
    subprocess.run([_GIT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
    for path in (clone.parent, *clone.parent.rglob("*")):
        os.chown(path, _USER, _USER, follow_symlinks=False)
    return BareRoot(folder)
