"""The index of a user's conversations, by the time of their last turn."""

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import msgspec

from app.models import ActiveTurn
from app.store import keys
from app.store.connection import RedisClient
from app.store.faults import translated_redis_errors
from app.store.script import Script, together

_BLOCK = 100
"""How many entries are looked at in one step."""
_LATEST_MS = 2**53


class Conversation(NamedTuple):
    """A conversation in the user's index."""

    conversation_id: str
    message_count: int
    updated_at_ms: int
    active_turn: ActiveTurn | None


class ConversationPlace(msgspec.Struct, frozen=True, order=True, array_like=True):
    """A place in the list of conversations: the one that a page ends with."""

    updated_at_ms: Annotated[int, msgspec.Meta(ge=0, le=_LATEST_MS)]
    conversation_id: str


class ConversationIndex:
    """Lists conversations.

    An entry may outlive its conversation, because entries have no time to live of their own. It is passed
    over, and taken out, when it is met.
    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(self, redis: RedisClient) -> None:
        """Use a client that the caller closes; its answers are bytes."""
        self._redis = redis
        self._forget = Script(redis, "forget_conversation")

    async def page(
        self, user_id: str, *, limit: int, before: ConversationPlace | None = None
    ) -> tuple[list[Conversation], ConversationPlace | None]:
        """Read conversations, newest first, and where the next page begins (None: there is none)."""
        found: list[Conversation] = []
        place = before
        # One more tells whether there is a next page.
        while len(found) <= limit:
            entries = await self._entries(user_id, place)
            if not entries:
                break
            place = entries[-1]
            found += await self._existing(user_id, entries)
        page = found[:limit]
        last = page[-1] if len(found) > limit else None
        return page, last and ConversationPlace(last.updated_at_ms, last.conversation_id)

    async def ids(self, user_id: str, *, limit: int) -> list[str]:
        """Read the ids of the conversations that have been quiet for longest."""
        async with translated_redis_errors():
            names: Any = await self._redis.zrange(keys.conversations(user_id), 0, limit - 1)
        return [name.decode() for name in names]

    async def forget_expired(self, user_id: str) -> bool:
        """Take out expired ones of the conversations that have been quiet for longest; tell if any."""
        return await self._forget_if_gone(user_id, await self.ids(user_id, limit=_BLOCK))

    async def _entries(self, user_id: str, before: ConversationPlace | None) -> list[ConversationPlace]:
        """Read the next entries. Several may have the time of the place itself."""
        newest = _LATEST_MS if before is None else before.updated_at_ms
        offset = 0
        while True:
            async with translated_redis_errors():
                answer: Any = await self._redis.zrevrangebyscore(
                    keys.conversations(user_id), newest, "-inf", start=offset, num=_BLOCK, withscores=True
                )
            entries = [ConversationPlace(int(score), name.decode()) for name, score in answer]
            after = [entry for entry in entries if before is None or entry < before]
            if after or len(entries) < _BLOCK:
                return after
            offset += _BLOCK

    async def _existing(self, user_id: str, entries: Sequence[ConversationPlace]) -> list[Conversation]:
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for entry in entries:
                pipeline.llen(keys.messages(user_id, entry.conversation_id))
                pipeline.hmget(keys.running(user_id, entry.conversation_id), *ActiveTurn.__struct_fields__)
                pipeline.exists(keys.item_order(user_id, entry.conversation_id))
            answers = await pipeline.execute()
        found: list[Conversation] = []
        gone: list[str] = []
        for entry, count, fields, has_items in zip(
            entries, answers[::3], answers[1::3], answers[2::3], strict=True
        ):
            active_turn = active_turn_from(fields)
            if count or active_turn or has_items:
                found.append(Conversation(entry.conversation_id, count, entry.updated_at_ms, active_turn))
            else:
                gone.append(entry.conversation_id)
        await self._forget_if_gone(user_id, gone)
        return found

    async def _forget_if_gone(self, user_id: str, conversation_ids: Sequence[str]) -> bool:
        if not conversation_ids:
            return False
        async with translated_redis_errors():
            answers = await together(
                [
                    self._forget(
                        keys=[
                            keys.conversations(user_id),
                            keys.messages(user_id, conversation_id),
                            keys.running(user_id, conversation_id),
                            keys.sizes(user_id),
                            keys.titles(user_id),
                            keys.item_order(user_id, conversation_id),
                        ],
                        args=[conversation_id],
                    )
                    for conversation_id in conversation_ids
                ]
            )
        return any(answers)


def active_turn_from(fields: Sequence[Any]) -> ActiveTurn | None:
    """Read the fields of a running turn, in the order of ActiveTurn's own."""
    turn_id, message, created_at = fields or (None, None, None)
    if turn_id is None:
        return None
    return ActiveTurn(turn_id.decode(), (message or b"").decode(), (created_at or b"").decode())
