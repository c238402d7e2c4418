"""Conversations as they are kept: one LIST of messages each."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple
from weakref import WeakValueDictionary

import msgspec
import structlog

from app.models import ActiveTurn, Message, TurnEnd, UserMessage, decode_message
from app.store import keys
from app.store.connection import RedisClient
from app.store.conversation_index import (
    Conversation,
    ConversationIndex,
    ConversationPlace,
    active_turn_from,
)
from app.store.faults import translated_redis_errors
from app.store.recent_turns import MessageBlock, RecentTurns
from app.store.script import Script

_READS_PER_USER = 4
"""How many pages one user may read at once on one process; further reads wait."""
_PAGE_BYTES = 512 * 1024
"""A page of long messages has fewer of them: one page must not hold up the batch that it comes with."""
_SLICE_MESSAGES = 64
_SLICE_BYTES = 4 * 1024 * 1024
_LAST_POSITION = 2**53
_ROLES = {"UserMessage": "user", "AssistantMessage": "assistant"}

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode


class MessagePlace(msgspec.Struct, frozen=True, array_like=True):
    """A place in a conversation: the message that a page begins with."""

    turn_id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    kind: Literal["UserMessage", "AssistantMessage"]
    position: Annotated[int, msgspec.Meta(ge=0, le=_LAST_POSITION)] = _LAST_POSITION
    """The message's position then. It may have moved towards the beginning since, never away from it."""


class HistoryLimits(NamedTuple):
    """How much is kept of a conversation, and for how long."""

    ttl_seconds: int
    """How long a conversation is kept after its last turn; 0: for ever."""
    max_messages: int
    """The most messages, or items. Above it the oldest ones are dropped."""
    max_bytes: int
    """The most bytes. Above it the oldest messages or items are dropped, too."""


class RawBlock(NamedTuple):
    """Some messages of a conversation, as a script gives them."""

    start: int
    """The position of the oldest of them."""
    elements: Sequence[bytes]
    """The messages, newest first."""


class MessagePage(NamedTuple):
    """Some messages of a conversation, oldest first."""

    messages: list[Message]
    before: MessagePlace | None
    """The beginning of the page of older messages; None: there are none."""
    active_turn: ActiveTurn | None
    exists: bool
    """Whether anything is kept of the conversation."""


class ErasableTurns(NamedTuple):
    """Some turns of a conversation of which something is kept."""

    running_id: str
    """The running turn; empty: none is running."""
    length: int
    """How many messages the conversation has."""
    message_turns: list[str]
    """The turns of its newest messages, one a message; empty: a message names none."""
    recent: list[str]
    """Turns that may still have a journal."""

    @property
    def ended_ids(self) -> list[str]:
        """The ids of those turns that have ended, each once."""
        return [turn_id for turn_id in dict.fromkeys([*self.message_turns, *self.recent]) if turn_id]


class HistoryRepository:
    """Reads and erases conversations; `TurnLeases` writes them.

    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(self, redis: RedisClient, *, closed_seconds: float, max_bytes: int) -> None:
        """Use a client that the caller closes.

        Args:
            redis: A client whose answers are bytes.
            closed_seconds: How long the owner of a turn can learn that its conversation was erased.
            max_bytes: How much of a conversation is read for a prompt at most.
        """
        self._redis = redis
        self._closed_seconds = int(closed_seconds)
        self._max_bytes = max_bytes
        self._index = ConversationIndex(redis)
        self._reads: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._read = Script(redis, "read_messages")
        self._read_turn_ids = Script(redis, "read_turn_ids")
        self._drop_turns = Script(redis, "drop_turns")
        self._delete = Script(redis, "delete_conversation")

    async def page(
        self, user_id: str, conversation_id: str, *, limit: int, before: MessagePlace | None = None
    ) -> MessagePage:
        """Read the newest messages, or those before a place, and the question that is being answered."""
        key = keys.messages(user_id, conversation_id)
        position = None if before is None else before.position + 1
        while True:
            async with self._slot(user_id), translated_redis_errors():
                length, start, *found = await self._read(
                    keys=[key, keys.running(user_id, conversation_id)],
                    args=[
                        "" if position is None else position,
                        limit,
                        _PAGE_BYTES,
                        "" if before is None else before.turn_id,
                        "" if before is None else _ROLES[before.kind],
                    ],
                )
            position = start
            if not found:
                continue  # the message was not found yet
            elements, fields = found
            messages = [
                (start + n, message)
                for n, element in enumerate(reversed(elements))
                if (message := _message(key, element)) is not None
            ]
            if messages or not start:
                break
            before = None  # go on before elements that are no messages
        active_turn = active_turn_from(fields)
        return MessagePage(
            [message for _, message in messages],
            _place(*messages[0]) if start else None,
            active_turn,
            bool(length or active_turn),
        )

    def recent_turns(
        self,
        user_id: str,
        conversation_id: str,
        *,
        until: float | None = None,
        first: RawBlock | None = None,
    ) -> RecentTurns:
        """Return the conversation's turns, newest first, to be read as far as a prompt needs them.

        Args:
            user_id: Whose conversation it is.
            conversation_id: Which of the user's.
            until: The deadline of all reading, in the event loop's time.
            first: The newest block, if it has been read already.
        """
        key = keys.messages(user_id, conversation_id)

        async def read_before(position: int | None, max_bytes: int) -> MessageBlock:
            async with translated_redis_errors():
                _, start, elements, _ = await self._read(
                    keys=[key],
                    args=["" if position is None else position, _LAST_POSITION, max_bytes, "", ""],
                )
            return _decoded(key, RawBlock(start, elements))

        return RecentTurns(
            read_before,
            max_bytes=self._max_bytes,
            until=until,
            first=None if first is None else _decoded(key, first),
        )

    async def conversations(
        self, user_id: str, *, limit: int, before: ConversationPlace | None = None
    ) -> tuple[list[Conversation], ConversationPlace | None]:
        """Read a page of the user's conversations, newest first, and where the next page begins."""
        async with self._slot(user_id):
            return await self._index.page(user_id, limit=limit, before=before)

    async def conversation_ids(self, user_id: str, *, limit: int) -> list[str]:
        """Read the ids of some of the user's conversations."""
        return await self._index.ids(user_id, limit=limit)

    async def running_turns(self, user_id: str) -> list[str]:
        """Read the ids of the user's running turns, also those that belong to no conversation."""
        async with translated_redis_errors():
            turn_ids: Any = await self._redis.zrange(keys.active_turns(user_id), 0, -1)
        return [turn_id.decode() for turn_id in turn_ids]

    async def erasable_turns(self, user_id: str, conversation_id: str) -> ErasableTurns:
        """Read the turns of the next slice to erase, the newest messages first."""
        async with translated_redis_errors():
            running_id, length, message_turns, recent = await self._read_turn_ids(
                keys=[
                    keys.running(user_id, conversation_id),
                    keys.messages(user_id, conversation_id),
                    keys.recent_turns(user_id, conversation_id),
                ],
                args=[_SLICE_MESSAGES, _SLICE_BYTES],
            )
        return ErasableTurns(
            running_id.decode(),
            length,
            [turn_id.decode("utf-8", "replace") for turn_id in message_turns],
            [turn_id.decode() for turn_id in recent],
        )

    async def drop(self, user_id: str, conversation_id: str, turns: ErasableTurns) -> None:
        """Drop the messages of a slice. If messages were appended or trimmed meanwhile, they all stay."""
        newest_id = turns.message_turns[0] if turns.message_turns else ""
        async with translated_redis_errors():
            await self._drop_turns(
                keys=[keys.messages(user_id, conversation_id), keys.recent_turns(user_id, conversation_id)],
                args=[len(turns.message_turns), turns.length, newest_id, *turns.recent],
            )

    async def delete(self, user_id: str, conversation_id: str, running_id: str, end: TurnEnd) -> bool:
        """Erase a conversation without messages, and close its running turn with `end`.

        Returns:
            False if another turn is running, or has ended, so that there is something to erase again.
        """
        async with translated_redis_errors():
            is_done = await self._delete(
                keys=[
                    keys.running(user_id, conversation_id),
                    keys.messages(user_id, conversation_id),
                    keys.conversations(user_id),
                    keys.closed(user_id, running_id),
                    keys.recent_turns(user_id, conversation_id),
                    keys.active_turns(user_id),
                    keys.sizes(user_id),
                    keys.titles(user_id),
                    keys.items(user_id, conversation_id),
                    keys.item_order(user_id, conversation_id),
                ],
                args=[
                    conversation_id,
                    running_id,
                    _encode(end.without_message()),
                    self._closed_seconds,
                    keys.ERASURES_CHANNEL,
                ],
            )
        return bool(is_done)

    async def probe(self) -> None:
        """Check that Redis answers for keys: a cluster's node that is down would answer a PING."""
        async with translated_redis_errors():
            await self._redis.exists(keys.conversations(""))

    def _slot(self, user_id: str) -> asyncio.Semaphore:
        """Bound what a user reads at once. The semaphore lives for as long as it is used."""
        return self._reads.setdefault(user_id, asyncio.Semaphore(_READS_PER_USER))


def _decoded(key: str, block: RawBlock) -> MessageBlock:
    messages = [_message(key, element) for element in reversed(block.elements)]
    stop = block.start + len(block.elements)
    size = sum(map(len, block.elements))
    return MessageBlock(block.start, stop, [each for each in messages if each is not None], size)


def _place(position: int, message: Message) -> MessagePlace:
    if isinstance(message, UserMessage):
        return MessagePlace(message.turn_id, "UserMessage", position)
    return MessagePlace(message.turn_id, "AssistantMessage", position)


def _message(key: str, element: bytes | str) -> Message | None:
    try:
        return decode_message(element)
    except (ValueError, RecursionError):
        # One element that another program wrote must not make the conversation unreadable.
        _log.error("element left out", reason="it is no message", key=key)
        return None
