"""The scripts in `scripts/*.lua`, which Redis executes atomically."""

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from redis.commands.core import AsyncScript
from redis.exceptions import NoScriptError, RedisError

from app.store.connection import RedisClient

Argument = str | bytes | int


class Call(NamedTuple):
    """One call of a script."""

    keys: Sequence[str]
    args: Sequence[Argument]


class Script:
    """A script, sent as its digest; if the server does not know it, its text is sent."""

    def __init__(self, redis: RedisClient, name: str) -> None:
        self._redis = redis
        self._script: AsyncScript = redis.register_script(
            files("app.store").joinpath(f"scripts/{name}.lua").read_text()
        )

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run the script.

        Raises:
            RedisError: Redis refused the call or cannot be reached.
        """
        return await self._script(keys=keys, args=args)

    async def call_all(self, calls: Sequence[Call], *, may_fail: bool = False) -> list[Any]:
        """Run the script once for each call, in one round trip.

        redis-py would ask the server each time whether it knows the script.

        Args:
            calls: The keys and arguments of each call.
            may_fail: Return the error of a refused call as its answer instead of raising it.

        Raises:
            RedisError: Redis refused a call or cannot be reached.
        """
        answers = await self._send(calls)
        if any(isinstance(answer, NoScriptError) for answer in answers):
            await self._redis.script_load(self._script.script)
            answers = await self._send(calls)
        for answer in answers:
            if isinstance(answer, RedisError) and not may_fail:
                raise answer
        return answers

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for call in calls:
                # Not `evalsha`, because pipelines of a cluster do not support it.
                pipeline.execute_command("EVALSHA", self._script.sha, len(call.keys), *call.keys, *call.args)
            return await pipeline.execute(raise_on_error=False)
