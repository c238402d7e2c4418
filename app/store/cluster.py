"""A Redis Cluster, spoken to as patiently as a single server is."""

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
"""To each node: for the layout of the cluster, and the channel on which this process is told of its turns."""


class ClusterClient(RedisCluster):
    """Waits for a connection where redis-py's own client raises, and learns from pipelines of lost nodes."""

    def __init__(
        self, hosts: list[tuple[str, int]], *, max_connections: int, pool_timeout: float, **options: Any
    ) -> None:
        """Connect to nothing yet.

        Args:
            hosts: Some of the nodes.
            max_connections: To each node.
            pool_timeout: For how many seconds a command waits for one of them.
            options: Of redis-py's client.
        """
        super().__init__(
            startup_nodes=[ClusterNode(host, port) for host, port in hosts],
            max_connections=max_connections + _SPARE_CONNECTIONS,
            # redis-py closes every connection at each fifth key that has moved.
            reinitialize_steps=0,
            **options,
        )
        self._named = dict(self.nodes_manager.startup_nodes)
        self._pool_timeout = pool_timeout
        # Two, as a pipeline sends what has moved to another node once more, by single commands.
        self._commands = asyncio.Semaphore(max_connections // 2)
        self._pipelines = asyncio.Semaphore(max_connections // 2)

    async def __aenter__(self) -> Self:
        """Connect to nothing yet: a cluster that is away keeps no process from starting."""
        return self

    async def initialize(
        self,
        additional_startup_nodes_info: list[tuple[str, int]] | None = None,
        last_failed_node_name: str | None = None,
    ) -> Self:
        """Learn the layout of the cluster, where it is not known."""
        await super().initialize(additional_startup_nodes_info, last_failed_node_name)
        self._keep_named_nodes()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections, also those that are left from before a node was gone."""
        await self.aclose()
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to the node that has its keys."""
        async with self._sending(self._commands):
            return await super().execute_command(*args, **options)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:  # noqa: ARG002 - redis-py's
        """Gather commands that go out together, to each node those that are its own."""
        return _Pipeline(self, transaction)  # type: ignore[abstract]  # redis-py has an attribute for a property

    def pipelining(self) -> AbstractAsyncContextManager[None]:
        """One of the places of pipelines."""
        return self._sending(self._pipelines)

    async def look_around(self) -> None:
        """Learn which nodes there are now, if one of them answers."""
        with suppress(RedisClusterException):
            await self.nodes_manager.initialize()
            self._keep_named_nodes()

    def _keep_named_nodes(self) -> None:
        # redis-py forgets them for those that it has found, which may all get other addresses.
        self.nodes_manager.startup_nodes = self._named | self.nodes_manager.startup_nodes

    @asynccontextmanager
    async def _sending(self, places: asyncio.Semaphore) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._pool_timeout):
                await places.acquire()
        except TimeoutError:
            raise RedisTimeoutError("no connection was free in time") from None
        try:
            # redis-py looks for a node that answers, one after the other.
            async with asyncio.timeout(_COMMAND_SECONDS):
                yield
        except TimeoutError:
            raise RedisTimeoutError("no node answered in time") from None
        except AttributeError as error:
            # Where a node is down redis-py closes all connections, also those that others just open.
            raise RedisConnectionError("closed while it was opened") from error
        finally:
            places.release()


class _Pipeline(ClusterPipeline):
    cluster_client: ClusterClient

    async def execute(self, raise_on_error: bool = True, allow_redirections: bool = True) -> list[Any]:  # noqa: FBT001, FBT002 - redis-py's
        async with self.cluster_client.pipelining():
            answers = await super().execute(raise_on_error=False, allow_redirections=allow_redirections)
            errors = [answer for answer in answers if isinstance(answer, Exception)]
            # redis-py itself takes no notice of those that it does not raise.
            if any(isinstance(error, _NODE_ERRORS) for error in errors):
                await self.cluster_client.look_around()
        if errors and raise_on_error:
            raise errors[0]
        return answers
