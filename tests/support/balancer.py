"""A balancer like Kubernetes's Service: new connections go to replicas that report ready."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from tests.support.proxy import Address, Proxy

_PROBE_SECONDS = 0.2


class Balancer(Proxy):
    """A round-robin balancer; open connections stay with their replica, even while it drains."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0))
        self.replicas: list[httpx.AsyncClient] = []
        """The replicas to probe."""
        self._ready: list[Address] = []

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"http://127.0.0.1:{self.port}"

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if not self._ready:
            raise ConnectionRefusedError
        self._ready.append(self._ready.pop(0))
        return await asyncio.open_connection(*self._ready[0])

    async def probe(self) -> None:
        """Probe until cancelled; between two probes a draining replica still gets connections."""
        while True:
            self._ready = [_address(each) for each in tuple(self.replicas) if await _is_ready(each)]
            await asyncio.sleep(_PROBE_SECONDS)


async def _is_ready(replica: httpx.AsyncClient) -> bool:
    try:
        return (await replica.get("/ready", params={"checks": "none"})).is_success
    except httpx.TransportError:
        return False


def _address(replica: httpx.AsyncClient) -> Address:
    assert replica.base_url.port is not None  # it listens on a port of its own
    return replica.base_url.host, replica.base_url.port


@asynccontextmanager
async def running_balancer() -> AsyncIterator[Balancer]:
    """Run a balancer that has no replica yet."""
    balancer = Balancer()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(balancer.end)
        await balancer.accept()
        probing = asyncio.create_task(balancer.probe())
        stack.callback(probing.cancel)
        yield balancer
