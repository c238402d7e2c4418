"""A Redis client that sends commands together.

redis-py takes a connection from the pool for each command or pipeline, and sets a retry and several time-outs
around it: some 100 µs. Hundreds of turns ask Redis at the same time, so here one task takes what was asked
since its last round trip, writes it at once, and reads as many replies.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import hiredis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from app.clock import now
from app.store.faults import CONNECTION_ERRORS

_BATCH_SECONDS = 1.0
"""How long the replies to one batch may take."""
_HELD_SECONDS = 0.5
"""How long a connection is used before the pool is asked again, which may know of another master."""
_MAX_BATCH = 500
_WAITING = frozenset({"XREAD"})
"""Commands that may wait for data. They would hold up a batch."""

Command = tuple[Any, ...]


class _Asked(NamedTuple):
    commands: Sequence[Command]
    replies: asyncio.Future[list[Any]]


class BatchingRedis(Redis):
    """Sends commands and non-transactional pipelines in batches.

    A batch has one deadline, and one retry on a new connection, so only idempotent commands are sent. If a
    caller is cancelled, its commands stay in the batch; their replies are read and dropped, so that no other
    caller gets them.
    """

    def __init__(self, pool: BlockingConnectionPool, *, batches: BlockingConnectionPool) -> None:
        """Use two pools, which are closed with the client.

        Args:
            pool: For commands that wait.
            batches: For batches; its connections have no time-out of their own for reads.
        """
        super().__init__(connection_pool=pool)
        self.auto_close_connection_pool = True
        self._batches = batches
        self._asked: list[_Asked] = []
        self._sender: asyncio.Task[None] | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._connection: Any = None
        self._held_until = 0.0

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001 - redis-py's
        """Close both pools."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait({self._sender})
        await super().aclose(close_connection_pool)
        await self._batches.aclose()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command with the next batch, and return its reply."""
        if args[0] in _WAITING or " " in args[0]:  # redis-py splits names of two words
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        [reply] = await self.send([args])
        if isinstance(reply, Exception):
            raise reply
        return self._converted(args, options, reply)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: FBT001, FBT002 - redis-py's
        """Collect commands that are sent with the next batch."""
        if transaction:
            return super().pipeline(transaction, shard_hint)
        return _BatchedPipeline(self, shard_hint)

    async def send(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands with the next batch; return their replies, or an exception for one that is refused.

        Raises:
            RedisConnectionError, RedisTimeoutError: The server was not reached, or did not answer in time.
        """
        asked = _Asked(commands, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(), name="redis batches")
        elif self._wakeup is not None:
            _set(self._wakeup)
        return await asked.replies

    def _converted(self, args: Command, options: Mapping[str, Any], reply: Any) -> Any:
        convert = self.response_callbacks.get(args[0])
        if convert is None:
            return reply
        # "keys" is for redis-py's cache alone.
        return convert(reply, **{name: value for name, value in options.items() if name != "keys"})

    async def _send_all(self) -> None:
        """Send batches, until nothing has been asked for as long as a connection is held."""
        batch: list[_Asked] = []
        try:
            while self._asked or await self._is_asked_before(self._held_until):
                batch, self._asked = self._asked[:_MAX_BATCH], self._asked[_MAX_BATCH:]
                if self._connection is not None and now() >= self._held_until:
                    await self._release()
                try:
                    await self._exchange(batch)
                except CONNECTION_ERRORS as error:
                    # The commands that were asked meanwhile would wait for the same server.
                    batch += self._asked
                    self._asked = []
                    _fail(batch, error)
        finally:
            self._sender = None
            _fail([*batch, *self._asked], RedisConnectionError("the client is closing"))
            self._asked = []
            await self._release()

    async def _is_asked_before(self, deadline: float) -> bool:
        """Wait until something is asked; False: nothing was, until the deadline."""
        loop = asyncio.get_running_loop()
        self._wakeup = loop.create_future()
        timer = loop.call_at(deadline, _set, self._wakeup)
        try:
            await self._wakeup
        finally:
            timer.cancel()
            self._wakeup = None
        return bool(self._asked)

    async def _exchange(self, batch: Sequence[_Asked]) -> None:
        """Write a batch and hand out its replies; try once more if the connection fails."""
        packed = b"".join(hiredis.pack_command(command) for asked in batch for command in asked.commands)
        count = sum(len(asked.commands) for asked in batch)
        try:
            replies = await self._replies(packed, count)
        except CONNECTION_ERRORS:
            replies = await self._replies(packed, count)
        position = iter(replies)
        for asked in batch:
            answers = list(islice(position, len(asked.commands)))
            if not asked.replies.done():  # its caller may have been cancelled
                asked.replies.set_result(answers)

    async def _replies(self, packed: bytes, count: int) -> list[Any]:
        try:
            async with asyncio.timeout(_BATCH_SECONDS):
                if self._connection is None:
                    self._connection = await self._batches.get_connection()  # type: ignore[no-untyped-call]
                    self._held_until = now() + _HELD_SECONDS
                await self._connection.send_packed_command(packed, check_health=False)
                return [await _reply(self._connection) for _ in range(count)]
        except BaseException as error:
            if self._connection is not None:
                # Replies that were not read must not reach the next batch.
                await self._connection.disconnect(nowait=True)
                await self._release()
            if isinstance(error, TimeoutError):
                raise RedisTimeoutError("no answer in time") from None
            raise

    async def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._batches.release(connection)


class _BatchedPipeline(Pipeline):
    """Sends its commands with the client's next batch."""

    def __init__(self, client: BatchingRedis, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, False, shard_hint)  # noqa: FBT003 - redis-py's
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002 - redis-py's
        stack, self.command_stack = self.command_stack, []
        if not stack:
            return []
        replies = await self._client.send([args for args, _ in stack])
        if raise_on_error:
            self.raise_first_error(stack, replies)
        return [
            reply if isinstance(reply, Exception) else self._client._converted(args, options, reply)  # noqa: SLF001 - its own
            for (args, options), reply in zip(stack, replies, strict=True)
        ]


async def _reply(connection: Any) -> Any:
    try:
        return await connection.read_response(timeout=math.inf)
    except ResponseError as refusal:
        return refusal


def _fail(asked: Sequence[_Asked], error: Exception) -> None:
    for each in asked:
        if not each.replies.done():
            each.replies.set_exception(error)


def _set(event: asyncio.Future[None]) -> None:
    if not event.done():
        event.set_result(None)
