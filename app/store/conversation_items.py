"""Conversations of `/v1`: whose they are, and their items; messages among them are in the history, too."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from app.errors import TooManyConversations
from app.models import Message
from app.store import keys
from app.store.connection import RedisClient
from app.store.conversation_index import ConversationIndex
from app.store.faults import translated_redis_errors
from app.store.history import HistoryLimits
from app.store.script import Script

_AT_ONCE = 100
"""How many items are read in one step."""

_encode = msgspec.json.Encoder().encode


class StoredConversation(msgspec.Struct, frozen=True, kw_only=True):
    """Whose conversation it is, and what its maker says of it."""

    conversation_id: str
    user_id: str
    scope: str
    created_at: int
    metadata: dict[str, str]


class ItemPage(NamedTuple):
    """Some items of a conversation, as JSON."""

    items: list[bytes]
    has_more: bool


class MessageOfItem(NamedTuple):
    """The message that an item stands for.

    Attributes:
        turn_id: What the message names as its turn.
        role: The message's role.
        content: Its text.
        rest: What the other items of the same turn and role say; the message keeps this.
    """

    turn_id: str
    role: str
    content: str
    rest: str


class ConversationItems:
    """Keeps conversations of `/v1`.

    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        history: HistoryLimits,
        max_conversations: int,
    ) -> None:
        """Use a client that the caller closes.

        Args:
            redis: A client whose answers are bytes.
            history: How much of a conversation is kept.
            max_conversations: How many conversations a user may have; 0: any number.
        """
        self._redis = redis
        self._ttl_seconds, self._max_items, self._max_bytes = history
        self._max_conversations = max_conversations
        self._index = ConversationIndex(redis)
        self._create = Script(redis, "create_conversation")
        self._add = Script(redis, "add_items")
        self._delete_item = Script(redis, "delete_item")
        self._delete_own = Script(redis, "delete_own")
        self._set_metadata = Script(redis, "set_metadata")

    async def create(self, conversation: StoredConversation, *, is_limited: bool) -> None:
        """Begin a conversation without items.

        Raises:
            TooManyConversations: The user has as many as there may be.
        """
        user_id = conversation.user_id
        if not await self._begin(conversation, is_limited=is_limited) and not (
            await self._index.forget_expired(user_id)
            and await self._begin(conversation, is_limited=is_limited)
        ):
            raise TooManyConversations
        key = keys.conversation(conversation.conversation_id)
        fields = {
            "user_id": user_id,
            "scope": conversation.scope,
            "created_at": conversation.created_at,
            "metadata": _encode(conversation.metadata),
        }
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.hset(key, mapping=fields)  # type: ignore[arg-type]
            if self._ttl_seconds:
                pipeline.expire(key, self._ttl_seconds)
            await pipeline.execute()

    async def read(self, conversation_id: str) -> StoredConversation | None:
        """Read whose conversation it is. That counts as touching it: all of it lives on."""
        async with translated_redis_errors():
            fields: Any = await self._redis.hgetall(keys.conversation(conversation_id))
        if b"user_id" not in fields:
            return None
        if self._ttl_seconds:
            await self._touch(fields[b"user_id"].decode(), conversation_id)
        return StoredConversation(
            conversation_id=conversation_id,
            user_id=fields[b"user_id"].decode(),
            scope=fields[b"scope"].decode(),
            created_at=int(fields[b"created_at"]),
            metadata=msgspec.json.decode(fields[b"metadata"], type=dict[str, str]),
        )

    async def _touch(self, user_id: str, conversation_id: str) -> None:
        """Let everything of a conversation expire together: what nothing names any more is never erased."""
        async with translated_redis_errors(), self._redis.pipeline(transaction=False) as pipeline:
            for key in (
                keys.conversation(conversation_id),
                keys.conversations(user_id),
                keys.titles(user_id),
                keys.sizes(user_id),
                keys.messages(user_id, conversation_id),
                keys.items(user_id, conversation_id),
                keys.item_order(user_id, conversation_id),
            ):
                pipeline.expire(key, self._ttl_seconds, gt=True)
            await pipeline.execute()

    async def set_metadata(self, conversation_id: str, metadata: dict[str, str]) -> None:
        """Replace the metadata of a conversation."""
        async with translated_redis_errors():
            await self._set_metadata(keys=[keys.conversation(conversation_id)], args=[_encode(metadata)])

    async def forget(self, user_id: str, conversation_id: str) -> None:
        """Forget whose conversation it is, if it is this user's. Its items have been erased before."""
        async with translated_redis_errors():
            await self._delete_own(keys=[keys.conversation(conversation_id)], args=[user_id])

    async def add(
        self, user_id: str, conversation_id: str, items: Sequence[bytes], messages: Sequence[Message]
    ) -> bool:
        """Append items, an id and a text for each, and the messages among them. False: it is gone."""
        async with translated_redis_errors():
            is_done = await self._add(
                keys=[
                    keys.items(user_id, conversation_id),
                    keys.item_order(user_id, conversation_id),
                    keys.messages(user_id, conversation_id),
                    keys.conversations(user_id),
                ],
                args=[
                    conversation_id,
                    self._ttl_seconds,
                    self._max_items,
                    self._max_bytes,
                    len(items) // 2,
                    *items,
                    *map(_encode, messages),
                ],
            )
        return bool(is_done)

    async def page(
        self, user_id: str, conversation_id: str, *, limit: int, is_descending: bool, after: str | None
    ) -> ItemPage | None:
        """Read some items, from the first or after the one with this id. None: that one is unknown."""
        key = keys.item_order(user_id, conversation_id)
        start = 0
        async with translated_redis_errors():
            if after is not None:
                rank: Any = await (self._redis.zrevrank if is_descending else self._redis.zrank)(key, after)
                if rank is None:
                    return None
                start = rank + 1
            elif not is_descending:
                start = 1  # the first member stands for the conversation itself
            read = self._redis.zrevrange if is_descending else self._redis.zrange
            found: Any = await read(key, start, start + limit)
        ids = [item_id for item_id in found if item_id]
        items = await self._texts(user_id, conversation_id, ids[:limit])
        return ItemPage(items, len(ids) > limit)

    async def item(self, user_id: str, conversation_id: str, item_id: str) -> bytes | None:
        """Read one item."""
        found = await self._texts(user_id, conversation_id, [item_id]) if item_id.count("_") == 1 else []
        return found[0] if found else None

    async def every_item(self, user_id: str, conversation_id: str) -> list[bytes]:
        """Read all items, the oldest first; no more are kept than a conversation may have."""
        ids = await self.ids(user_id, conversation_id)
        items: list[bytes] = []
        for start in range(0, len(ids), _AT_ONCE):
            items += await self._texts(user_id, conversation_id, ids[start : start + _AT_ONCE])
        return items

    async def ids(self, user_id: str, conversation_id: str) -> list[str]:
        """Read the ids of all items, the oldest first."""
        async with translated_redis_errors():
            found: Any = await self._redis.zrange(keys.item_order(user_id, conversation_id), 1, -1)
        return [item_id.decode() for item_id in found]

    async def delete(
        self, user_id: str, conversation_id: str, item_id: str, message: MessageOfItem | None
    ) -> bool:
        """Delete an item, and its text from the history. False: there is none."""
        told = ("", "", "", "")
        if message is not None:
            rest = _encode(message.rest) if message.rest.strip() else ""
            told = (message.turn_id, message.role, _encode(message.content), rest)  # type: ignore[assignment]
        async with translated_redis_errors():
            is_done = await self._delete_item(
                keys=[
                    keys.items(user_id, conversation_id),
                    keys.item_order(user_id, conversation_id),
                    keys.messages(user_id, conversation_id),
                ],
                args=[item_id, *told],
            )
        return bool(is_done)

    async def _begin(self, conversation: StoredConversation, *, is_limited: bool) -> bool:
        user_id, conversation_id = conversation.user_id, conversation.conversation_id
        async with translated_redis_errors():
            is_done = await self._create(
                keys=[keys.conversations(user_id), keys.item_order(user_id, conversation_id)],
                args=[
                    conversation_id,
                    self._ttl_seconds,
                    self._max_conversations if is_limited else 0,
                ],
            )
        return bool(is_done)

    async def _texts(self, user_id: str, conversation_id: str, ids: Sequence[str | bytes]) -> list[bytes]:
        if not ids:
            return []
        async with translated_redis_errors():
            found: Any = await self._redis.hmget(keys.items(user_id, conversation_id), list(ids))
        return [text for text in found if text is not None]
