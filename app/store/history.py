"""Conversations as they are kept: one LIST of messages each."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import RETRY_SOON_SECONDS, HistoryUnavailable
from app.models import AssistantMessage, Message, UserMessage
from app.store import keys

_log = structlog.get_logger()
_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_APPEND_TURN = files("app.store").joinpath("scripts/append_turn.lua").read_text()


class HistoryRepository:
    """Reads conversations and appends turns to them.

    Every method raises HistoryUnavailable where Redis does not do its part in time.
    """

    def __init__(self, redis: Redis, *, ttl_seconds: int, max_messages: int, retry_seconds: float) -> None:
        """Use a client that somebody else closes.

        Args:
            redis: Not closed here.
            ttl_seconds: A conversation untouched for so long is forgotten; 0: never.
            max_messages: Above it the oldest turns are dropped.
            retry_seconds: For how long an append may be repeated and is still no second one.
        """
        self._redis = redis
        self._append_turn = redis.register_script(_APPEND_TURN)
        self._ttl_seconds = ttl_seconds
        self._max_messages = max_messages
        self._mark_seconds = int(2 * retry_seconds) + 60

    async def messages(self, user_id: str, conversation_id: str) -> list[Message]:
        """The conversation, oldest message first; empty where there is none."""
        key = keys.messages(user_id, conversation_id)
        async with _redis_errors():
            elements = await self._redis.lrange(key, 0, -1)
        return [message for element in elements if (message := _message(key, element)) is not None]

    async def append_turn(
        self, user_id: str, conversation_id: str, question: UserMessage, answer: AssistantMessage
    ) -> None:
        """Append a turn, once: a repeated call with the same turn changes nothing."""
        async with _redis_errors():
            await self._append_turn(
                keys=[keys.messages(user_id, conversation_id), keys.stored(user_id, question.turn_id)],
                args=[
                    _encode(question),
                    _encode(answer),
                    self._max_messages,
                    self._ttl_seconds,
                    self._mark_seconds,
                ],
            )

    async def probe(self) -> None:
        """See whether Redis answers."""
        async with _redis_errors():
            await self._redis.ping()


def _message(key: str, element: bytes | str) -> Message | None:
    try:
        return _decoder.decode(element)
    except msgspec.DecodeError:
        # One element that something else wrote must not close the conversation for good.
        _log.error("left out an element of a conversation that is no message", key=key)
        return None


@asynccontextmanager
async def _redis_errors() -> AsyncIterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise HistoryUnavailable(retry_after=RETRY_SOON_SECONDS) from error
