"""Conversations as they are kept: one LIST of messages each, and an index of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import structlog

from app.models import ActiveTurn, Message, TurnEnd, decode_message
from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.script import Script

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class Conversation(NamedTuple):
    """A conversation in the user's index."""

    conversation_id: str
    message_count: int
    updated_at_ms: int
    active_turn: ActiveTurn | None


class HistoryRepository:
    """Reads and erases conversations; `TurnLeases` writes them.

    Every method raises HistoryUnavailable where Redis does not do its part in time.
    """

    def __init__(self, redis: RedisClient, *, closed_seconds: float) -> None:
        """Use a client that somebody else closes.

        Args:
            redis: With answers as bytes.
            closed_seconds: For how long the owner of a turn can learn that its conversation was erased.
        """
        self._redis = redis
        self._closed_seconds = int(closed_seconds)
        self._delete = Script(redis, "delete_conversation")

    async def messages(self, user_id: str, conversation_id: str) -> list[Message]:
        """The conversation, oldest message first; empty where there is none."""
        key = keys.messages(user_id, conversation_id)
        async with translated_redis_errors():
            elements = await self._redis.lrange(key, 0, -1)
        return [message for element in elements if (message := _message(key, element)) is not None]

    async def active_turn(self, user_id: str, conversation_id: str) -> ActiveTurn | None:
        """The question that is being answered."""
        async with translated_redis_errors():
            fields = await self._redis.hmget(
                keys.running(user_id, conversation_id), *ActiveTurn.__struct_fields__
            )
        return _active_turn(fields)

    async def conversations(
        self, user_id: str, *, limit: int, before: tuple[int, str] | None = None
    ) -> list[Conversation]:
        """The user's conversations, newest first; with `before` (its time in ms, its id) those after it."""
        index = keys.conversations(user_id)
        async with translated_redis_errors():
            entries: Any = await self._redis.zrange(index, 0, -1, desc=True, withscores=True)
            page = [
                (int(score), name.decode())
                for name, score in entries
                if before is None or (int(score), name.decode()) < before
            ][:limit]
            async with self._redis.pipeline(transaction=False) as pipeline:
                for _, name in page:
                    pipeline.llen(keys.messages(user_id, name))
                    pipeline.hmget(keys.running(user_id, name), *ActiveTurn.__struct_fields__)
                answers = await pipeline.execute()
        return [
            Conversation(name, count, updated_at_ms, _active_turn(fields))
            for (updated_at_ms, name), count, fields in zip(page, answers[::2], answers[1::2], strict=True)
            if count or fields[0]
        ]

    async def conversation_ids(self, user_id: str) -> list[str]:
        """All conversations of the user."""
        async with translated_redis_errors():
            names: Any = await self._redis.zrange(keys.conversations(user_id), 0, -1)
        return [name.decode() for name in names]

    async def turn_ids(self, user_id: str, conversation_id: str) -> tuple[list[str], str]:
        """The ids of a conversation's turns, and of them the running one's; empty: none is running."""
        messages = await self.messages(user_id, conversation_id)
        async with translated_redis_errors():
            running: Any = await self._redis.hget(keys.running(user_id, conversation_id), "turn_id")
            recent: Any = await self._redis.zrange(keys.recent_turns(user_id, conversation_id), 0, -1)
        running_id = running.decode() if running else ""
        found = dict.fromkeys(message.turn_id for message in messages)
        found |= dict.fromkeys(turn_id.decode() for turn_id in (*recent, running or b""))
        return [turn_id for turn_id in found if turn_id], running_id

    async def delete(self, user_id: str, conversation_id: str, running_id: str, end: TurnEnd) -> bool:
        """Erase a conversation, closing its running turn with `end`; False: another turn is running."""
        async with translated_redis_errors():
            is_done = await self._delete(
                keys=[
                    keys.running(user_id, conversation_id),
                    keys.messages(user_id, conversation_id),
                    keys.conversations(user_id),
                    keys.closed(user_id, running_id),
                    keys.recent_turns(user_id, conversation_id),
                    keys.active_turns(user_id),
                ],
                args=[conversation_id, running_id, _encode(end), self._closed_seconds],
            )
        return bool(is_done)

    async def probe(self) -> None:
        """See whether Redis answers for keys: a node of a cluster that is down would answer a PING."""
        async with translated_redis_errors():
            await self._redis.exists(keys.conversations(""))


def _message(key: str, element: bytes | str) -> Message | None:
    try:
        return decode_message(element)
    except (ValueError, RecursionError):
        # One element that something else wrote must not close the conversation for good.
        _log.error("left out an element of a conversation that is no message", key=key)
        return None


def _active_turn(fields: Sequence[Any]) -> ActiveTurn | None:
    return ActiveTurn(*(field.decode() for field in fields if field is not None)) if fields[0] else None
