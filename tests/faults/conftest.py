"""The runner of the cases, and the seconds that each took."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.faults.fault import Fault
from tests.faults.prove import prove

Prove = Callable[[Fault], Awaitable[None]]

_SECONDS = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-table`: what `make faults` adds."""
    parser.addoption("--write-table", action="store_true", help="write docs/faults.md from this run")


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> dict[str, float]:
    """How long each case of this run took, by its row."""
    return pytestconfig.stash.setdefault(_SECONDS, {})


@pytest.fixture
def proven(seconds: dict[str, float], tmp_path: Path) -> Prove:
    """Hold a fault, and note how long it took."""

    async def run(fault: Fault) -> None:
        seconds[fault.full_name] = await prove(fault, tmp_path)

    return run
