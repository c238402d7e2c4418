"""The runner of the cases, which notes the seconds of each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

import pytest
import uvloop

from tests.faults.fault import Fault
from tests.faults.prove import prove
from tests.support.store import Store, running_store

Prove = Callable[[Fault], Awaitable[float]]

_SECONDS = pytest.StashKey[dict[str, float]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-table`: what `make faults` adds."""
    parser.addoption("--write-table", action="store_true", help="write docs/faults.md from this run")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Use the service's event loop: each loop reacts differently to a broken connection."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def seconds(pytestconfig: pytest.Config) -> dict[str, float]:
    """The seconds that each case of this run took, by row."""
    return pytestconfig.stash.setdefault(_SECONDS, {})


@pytest.fixture(scope="session")
def sound_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Run a store for all cases without a fault of the store."""
    with running_store(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def proven(seconds: dict[str, float], sound_store: Store, tmp_path: Path) -> Prove:
    """Prove a fault, and note and return its seconds."""

    async def run(fault: Fault) -> float:
        with running_store(tmp_path) if fault.group == "store" else nullcontext(sound_store) as store:
            seconds[fault.full_name] = await prove(fault, store)
        return seconds[fault.full_name]

    return run
