"""Faults of both sides, one after the other, with calm between them."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tests.support.proxy import Proxy

_FAULT_SECONDS = 2.5
"""Longer than a command to the store and its retry may take, and than the pause before the one retry."""
_CALM_SECONDS = 4.0

Fault = Callable[[], AbstractAsyncContextManager[None]]


class Weather:
    """What is wrong now."""

    def __init__(self, *, backend: Proxy, store: Proxy) -> None:
        self.backend = backend
        self.store = store
        self.now = "calm"
        self.faults = 0
        self._all: dict[str, Fault] = {}
        for name, line in (("backend", backend), ("store", store)):
            self._all[f"{name} refuses"] = _held(line.refuse, line.accept)
            self._all[f"{name} is frozen"] = _held(line.freeze, line.thaw)
            self._all[f"{name} resets"] = _once(line.reset)
            self._all[f"{name} sends bytes one by one"] = _sliced(line)
        for marker in (b"EVALSHA", b"XADD"):
            self._all[f"store loses replies to {marker.decode()}"] = _losing(store, marker)

    async def change(self) -> None:
        """Go through all faults, again and again, until cancelled."""
        for name, fault in itertools.cycle(self._all.items()):
            self.now = "calm"
            await asyncio.sleep(_CALM_SECONDS)
            self.now = name
            self.faults += 1
            async with fault():
                await asyncio.sleep(_FAULT_SECONDS)


def _held(begin: Callable[[], object], end: Callable[[], object]) -> Fault:
    @asynccontextmanager
    async def fault() -> AsyncIterator[None]:
        begin()
        try:
            yield
        finally:
            if asyncio.iscoroutine(ending := end()):
                await ending

    return fault


def _once(strike: Callable[[], object]) -> Fault:
    return _held(strike, lambda: None)


def _sliced(line: Proxy) -> Fault:
    whole = line.slice_bytes
    return _held(lambda: setattr(line, "slice_bytes", 1), lambda: setattr(line, "slice_bytes", whole))


def _losing(line: Proxy, marker: bytes) -> Fault:
    return _once(lambda: line.lose_reply(marker, times=5))
