"""A client of a Redis Cluster, with the same time limits as the client of a single server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Self

from redis.asyncio.cluster import ClusterNode, ClusterPipeline, RedisCluster
from redis.exceptions import ClusterDownError, RedisClusterException
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_NODE_ERRORS = (RedisConnectionError, RedisTimeoutError, ClusterDownError)
_COMMAND_SECONDS = 3.0
_SPARE_CONNECTIONS = 10
"""More connections to each node: for the layout of the cluster, and for the mailbox of this process."""


class ClusterClient(RedisCluster):
    """A client that waits for a free connection and that learns from pipelines which nodes are lost.

    redis-py's own client raises if no connection is free, and ignores lost nodes in pipelines.
    """

    def __init__(
        self, hosts: list[tuple[str, int]], *, max_connections: int, pool_timeout: float, **options: Any
    ) -> None:
        """Remember the addresses; connect to none yet.

        Args:
            hosts: Addresses of some of the nodes.
            max_connections: The limit of connections to each node.
            pool_timeout: How many seconds a command waits for a free connection.
            options: Options of redis-py's client.
        """
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in hosts],
            max_connections=max_connections + _SPARE_CONNECTIONS,
            # By default, redis-py closes every connection after five keys have moved.
            reinitialize_steps=0,
            **options,
        )
        self._named = dict(self.nodes_manager.startup_nodes)
        self._pool_timeout = pool_timeout
        # Two, because a pipeline repeats the commands for moved keys one by one while it holds its own place.
        self._commands = asyncio.Semaphore(max_connections // 2)
        self._pipelines = asyncio.Semaphore(max_connections // 2)

    async def __aenter__(self) -> Self:
        """Do not connect yet: the process must start even if the cluster is unreachable."""
        return self

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> Self:
        """Learn the layout of the cluster, unless it is known."""
        await super().initialize(additional_startup_nodes_info, last_failed_node_name)
        self._keep_named_nodes()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections, including those to nodes that have left the cluster."""
        await self.aclose()
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to the node that has its keys."""
        async with self._sending(self._commands):
            return await super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:  # noqa: ARG002 - redis-py's
        """Open a pipeline, which sends to each node the commands for its keys."""
        return _Pipeline(self, transaction)  # type: ignore[abstract]  # redis-py has an attribute for a property

    def pipelining(self) -> AbstractAsyncContextManager[None]:
        """Wait for a place among the running pipelines, and hold it while the context is open."""
        return self._sending(self._pipelines)

    async def look_around(self) -> None:
        """Learn the present nodes, if one of them answers."""
        with suppress(RedisClusterException):
            await self.nodes_manager.initialize()
            self._keep_named_nodes()

    def _keep_named_nodes(self) -> None:
        # redis-py replaces them by the nodes that it has found, and those may all get new addresses.
        self.nodes_manager.startup_nodes = self._named | self.nodes_manager.startup_nodes

    @asynccontextmanager
    async def _sending(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._pool_timeout):
                await places.acquire()
        except TimeoutError:
            raise RedisTimeoutError("no connection was free in time") from None
        try:
            # redis-py tries one node after the other until one answers.
            async with asyncio.timeout(_COMMAND_SECONDS):
                yield
        except TimeoutError:
            raise RedisTimeoutError("no node answered in time") from None
        except AttributeError as error:
            # If a node is down, redis-py closes all connections, even those that other tasks are opening.
            raise RedisConnectionError("closed while it was opened") from error
        finally:
            places.release()


class _Pipeline(ClusterPipeline):
    cluster_client: ClusterClient

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:  # noqa: FBT001, FBT002 - redis-py's
        async with self.cluster_client.pipelining():
            answers = await super().execute(raise_on_error=False, allow_redirections=allow_redirections)
            errors = [answer for answer in answers if isinstance(answer, Exception)]
            # redis-py ignores the errors that it does not raise.
            if any(isinstance(error, _NODE_ERRORS) for error in errors):
                await self.cluster_client.look_around()
        if errors and raise_on_error:
            raise errors[0]
        return answers
