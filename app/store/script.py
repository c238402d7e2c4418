"""The scripts in `scripts/*.lua`, which Redis executes atomically."""

from collections.abc import Generator, Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, RedisError, ResponseError

from app.store.batching import BatchingRedis
from app.store.connection import RedisClient

Argument = str | bytes | int


class Script:
    """A script, sent as its digest; if the server does not know it, its text is sent."""

    def __init__(self, redis: RedisClient, name: str) -> None:
        self.redis = redis
        self.text = files("app.store").joinpath(f"scripts/{name}.lua").read_text()
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, *, keys: Sequence[str], args: Sequence[Argument]) -> "Call":
        """Return a call with these keys and arguments. It is sent when it is awaited."""
        return Call(self, keys, args)


class Call(NamedTuple):
    """One call of a script. Await it to send it alone, or send several with `together`."""

    script: Script
    keys: Sequence[str]
    args: Sequence[Argument]

    def __await__(self) -> Generator[Any, Any, Any]:
        """Send the call and return its answer.

        Raises:
            RedisError: Redis refused the call or cannot be reached.
        """
        [answer] = yield from together([self]).__await__()
        return answer


async def together(calls: Sequence[Call], *, may_fail: bool = False) -> list[Any]:
    """Send calls in one round trip. A single server executes them in this order.

    If the server does not know a script, all calls are sent again, so each must be safe to repeat.

    Args:
        calls: All of them for the same client.
        may_fail: Return the error of a refused call as its answer instead of raising it.

    Raises:
        RedisError: Redis refused a call or cannot be reached.
    """
    answers = await _send(calls)
    unknown = {
        call.script for call, answer in zip(calls, answers, strict=True) if isinstance(answer, NoScriptError)
    }
    if unknown:
        for script in unknown:
            await script.redis.script_load(script.text)
        answers = await _send(calls)
    for answer in answers:
        if isinstance(answer, RedisError) and not may_fail:
            raise answer
    return answers


async def _send(calls: Sequence[Call]) -> list[Any]:
    # Not `evalsha`, because pipelines of a cluster do not support it.
    commands = [("EVALSHA", call.script.digest, len(call.keys), *call.keys, *call.args) for call in calls]
    if not commands:
        return []
    redis = calls[0].script.redis
    if isinstance(redis, BatchingRedis):
        return await redis.send(commands)
    if len(commands) == 1:
        try:
            return [await redis.execute_command(*commands[0])]  # type: ignore[no-untyped-call]
        except ResponseError as refusal:
            return [refusal]
    async with redis.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return await pipeline.execute(raise_on_error=False)
