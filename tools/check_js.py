"""Check the types of the page's JavaScript; skipped with one line if there is no Node.js."""

import json
import subprocess
import sys
from pathlib import Path

from npm_packages import MANIFEST, VERSIONS, PackageError, bring, node_command

TOOLS = Path(__file__).parent
CHECKS = TOOLS.parent / ".venv" / "npm"


def main() -> int:
    """Run the TypeScript compiler over the page, and return its exit code."""
    node = node_command()
    if node is None:
        print("check-js: skipped, there is no Node.js on this machine")
        return 0
    try:
        bring_checks()
    except PackageError as error:
        print(f"check-js: skipped, {error}")
        return 0
    compiler = CHECKS / "typescript" / "lib" / "tsc.js"
    return subprocess.run([*node, str(compiler), "-p", str(TOOLS / "tsconfig.json")], check=False).returncode  # noqa: S603 - a command of our own


def bring_checks() -> Path:
    """Bring what the checks and tests of the page need, unless it is there already; return its folder."""
    versions = {name: each["version"] for name, each in json.loads(MANIFEST.read_text())["checks"].items()}
    found = CHECKS / VERSIONS
    if not found.exists() or json.loads(found.read_text()) != versions:
        bring("checks", CHECKS)
    return CHECKS


if __name__ == "__main__":
    sys.exit(main())
