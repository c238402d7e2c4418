"""The conversation's list, on fakeredis: what is written, once, and what is read."""

import json

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.errors import HistoryUnavailable
from app.models import AssistantMessage, UserMessage
from app.store.history import HistoryRepository

KEY = "chat:{user}:messages:default"


def repository(redis: Redis, *, ttl_seconds: int = 60, max_messages: int = 100) -> HistoryRepository:
    return HistoryRepository(redis, ttl_seconds=ttl_seconds, max_messages=max_messages, retry_seconds=300)


def turn(turn_id: str, question: str = "Hi", answer: str = "Hello") -> tuple[UserMessage, AssistantMessage]:
    at = "2026-01-01T00:00:00.000Z"
    return UserMessage(question, turn_id, at), AssistantMessage(answer, turn_id, at, "complete", "test-model")


async def test_an_unknown_conversation_is_empty(fake_redis: Redis) -> None:
    assert await repository(fake_redis).messages("user", "default") == []


async def test_a_turn_is_two_elements_of_the_conversations_list(fake_redis: Redis) -> None:
    await repository(fake_redis).append_turn("user", "default", *turn("t1"))
    elements = [json.loads(element) for element in await fake_redis.lrange(KEY, 0, -1)]
    assert elements == [
        {"role": "user", "content": "Hi", "turn_id": "t1", "created_at": "2026-01-01T00:00:00.000Z"},
        {
            "role": "assistant",
            "content": "Hello",
            "turn_id": "t1",
            "created_at": "2026-01-01T00:00:00.000Z",
            "status": "complete",
            "model": "test-model",
            "finish_reason": None,
            "usage": None,
            "usage_estimated": False,
        },
    ]


async def test_what_was_written_is_read_back(fake_redis: Redis) -> None:
    history = repository(fake_redis)
    await history.append_turn("user", "default", *turn("t1", "żółw\u2028", "🐢\x00"))
    assert await history.messages("user", "default") == [*turn("t1", "żółw\u2028", "🐢\x00")]


async def test_a_repeated_append_changes_nothing_also_after_other_turns(fake_redis: Redis) -> None:
    history = repository(fake_redis)
    await history.append_turn("user", "default", *turn("t1"))
    await history.append_turn("user", "default", *turn("t2"))
    await history.append_turn("user", "default", *turn("t1"))
    assert [message.turn_id for message in await history.messages("user", "default")] == [
        "t1",
        "t1",
        "t2",
        "t2",
    ]


@pytest.mark.parametrize("max_messages", [4, 5])
async def test_above_the_cap_the_oldest_turns_are_dropped_whole(fake_redis: Redis, max_messages: int) -> None:
    history = repository(fake_redis, max_messages=max_messages)
    for turn_id in ("t1", "t2", "t3"):
        await history.append_turn("user", "default", *turn(turn_id))
    assert [message.turn_id for message in await history.messages("user", "default")] == [
        "t2",
        "t2",
        "t3",
        "t3",
    ]


async def test_a_conversation_is_forgotten_some_time_after_its_last_turn(fake_redis: Redis) -> None:
    await repository(fake_redis, ttl_seconds=60).append_turn("user", "default", *turn("t1"))
    assert 0 < await fake_redis.ttl(KEY) <= 60


async def test_with_a_ttl_of_zero_it_is_never_forgotten(fake_redis: Redis) -> None:
    await repository(fake_redis, ttl_seconds=60).append_turn("user", "default", *turn("t1"))
    await repository(fake_redis, ttl_seconds=0).append_turn("user", "default", *turn("t2"))
    assert await fake_redis.ttl(KEY) == -1


async def test_users_and_conversations_are_kept_apart_whatever_their_names(fake_redis: Redis) -> None:
    history = repository(fake_redis)
    await history.append_turn("a:messages", "b", *turn("t1"))
    await history.append_turn("a", "messages:b", *turn("t2"))
    await history.append_turn("{a}", "ż b", *turn("t3"))
    assert set(await fake_redis.keys("*:messages:*")) == {
        b"chat:{a%3Amessages}:messages:b",
        b"chat:{a}:messages:messages%3Ab",
        b"chat:{%7Ba%7D}:messages:%C5%BC%20b",
    }


async def test_an_element_that_is_no_message_is_left_out(fake_redis: Redis) -> None:
    history = repository(fake_redis)
    await fake_redis.rpush(KEY, b"{}", b"junk")
    await history.append_turn("user", "default", *turn("t1"))
    assert len(await history.messages("user", "default")) == 2


async def test_every_failure_of_redis_is_one_error(fake_redis: Redis) -> None:
    history = repository(fake_redis)
    await fake_redis.set(KEY, "of another type")
    with pytest.raises(HistoryUnavailable):
        await history.messages("user", "default")
    for _ in range(2):
        with pytest.raises(HistoryUnavailable):
            await history.append_turn("user", "default", *turn("t1"))


async def test_a_refused_connection_is_the_same_error(
    fake_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(fake_redis, "execute_command", refuse)
    with pytest.raises(HistoryUnavailable):
        await repository(fake_redis).probe()
