"""Responses as they are kept: found by the id of their turn alone, without its user."""

from collections.abc import Sequence
from typing import Any

import msgspec

from app.models import ResponseRequest, TurnRecord
from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.script import Script

_UNFINISHED_SECONDS = 48 * 3600
"""As long as the record of a turn that no process has ended."""

_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(ResponseRequest).decode


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a response.

    Attributes:
        record: The record of its turn. The question is not part of it.
        result: How the response ended, as JSON, without what repeats the request; None: it runs, or is not
            kept.
        size: The bytes of all that.
    """

    record: TurnRecord
    result: bytes | None
    size: int

    @property
    def request(self) -> ResponseRequest:
        """What was asked."""
        assert self.record.response is not None  # it is read with every stored response
        return self.record.response


class ResponseRepository:
    """Keeps responses, and the index by which those of a user are erased.

    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(
        self, redis: RedisClient, *, ttl_seconds: int, unstored_seconds: float, resume_seconds: float
    ) -> None:
        """Use a client that the caller closes.

        Args:
            redis: A client whose answers are bytes.
            ttl_seconds: How long a response is kept after its end; 0: for ever.
            unstored_seconds: How long the index names a response with `store: false`, from its start.
            resume_seconds: How long a turn can be followed after its end. As long is kept the request of a
                response with `store: false`, for readers that attach to the turn.
        """
        self._redis = redis
        self._ttl_seconds = ttl_seconds
        self._unstored_seconds = int(unstored_seconds)
        self._resume_seconds = int(resume_seconds)
        self._finish = Script(redis, "finish_response")

    async def create(self, record: TurnRecord) -> None:
        """Keep the request of a response that begins, and note its turn for an erasure of its user."""
        key, index = keys.response(record.turn_id), keys.responses(record.user_id)
        assert record.response is not None  # other turns have nothing to keep here
        is_stored = record.response.echo["store"]
        kept_seconds = self._ttl_seconds + _UNFINISHED_SECONDS if is_stored else self._unstored_seconds
        is_forever = is_stored and not self._ttl_seconds
        # The index first: what it does not name would not be erased.
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            until_ms = "+inf" if is_forever else record.created_ms + kept_seconds * 1000
            pipeline.zadd(index, {record.turn_id: until_ms})
            pipeline.zremrangebyscore(index, "-inf", record.created_ms)
            if self._ttl_seconds:
                # As long as the one that is kept longest.
                pipeline.expire(index, kept_seconds, nx=True)
                pipeline.expire(index, kept_seconds, gt=True)
            else:
                pipeline.persist(index)
            pipeline.hset(key, mapping=_fields(record))
            pipeline.expire(key, _UNFINISHED_SECONDS)
            await pipeline.execute()

    async def finish(self, turn_id: str, result: bytes | None) -> None:
        """Keep a response as it has ended, once; None: it is not kept."""
        seconds = self._resume_seconds if result is None else self._ttl_seconds
        async with translated_redis_errors():
            await self._finish(keys=[keys.response(turn_id)], args=[result or b"", seconds])

    async def read(self, turn_id: str) -> StoredResponse | None:
        """Read what is kept of a turn's response."""
        async with translated_redis_errors():
            fields: Any = await self._redis.hgetall(keys.response(turn_id))
        if b"request" not in fields:
            return None
        record = TurnRecord(
            turn_id=turn_id,
            message="",
            response=_decode_request(fields[b"request"]),
            **{name: fields[name.encode()].decode() for name in _DESCRIBED},
        )
        return StoredResponse(
            record=record, result=fields.get(b"result"), size=sum(map(len, fields.values()))
        )

    async def discard(self, user_id: str, turn_ids: Sequence[str]) -> None:
        """Remove responses, as if they had never been created."""
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for turn_id in turn_ids:
                pipeline.delete(keys.response(turn_id))
                pipeline.zrem(keys.responses(user_id), turn_id)
            await pipeline.execute()

    async def turn_ids(self, user_id: str, *, limit: int) -> list[str]:
        """Read the turns of the user's oldest responses."""
        async with translated_redis_errors():
            found: Any = await self._redis.zrange(keys.responses(user_id), 0, limit - 1)
        return [turn_id.decode() for turn_id in found]


_DESCRIBED = ("user_id", "conversation_id", "model", "scope", "created_at")


def _fields(record: TurnRecord) -> dict[Any, Any]:
    return {**{name: getattr(record, name) for name in _DESCRIBED}, "request": _encode(record.response)}
