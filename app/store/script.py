"""The scripts of `scripts/*.lua`: what Redis does in one step."""

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
    """A script, sent by its digest and, where the server does not know it, as a whole."""

    def __init__(self, redis: RedisClient, name: str) -> None:
        self._redis = redis
        self._script: AsyncScript = redis.register_script(
            files("app.store").joinpath(f"scripts/{name}.lua").read_text()
        )

    async def __call__(self, *, keys: Sequence[str], args: Sequence[Argument]) -> Any:
        """Run it.

        Raises:
            RedisError: It was refused, or the way to Redis failed.
        """
        return await self._script(keys=keys, args=args)

    async def call_all(self, calls: Sequence[Call], *, may_fail: bool = False) -> list[Any]:
        """Run it many times over in one round trip.

        redis-py's own way asks the server first, each time, whether it knows the script.

        Args:
            calls: What with.
            may_fail: Whether a call that is refused has its error for an answer, rather than raise it.

        Raises:
            RedisError: A call was refused, or the way to Redis failed.
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
                # Not `evalsha`, which pipelines of a cluster do not have.
                pipeline.execute_command("EVALSHA", self._script.sha, len(call.keys), *call.keys, *call.args)
            return await pipeline.execute(raise_on_error=False)
