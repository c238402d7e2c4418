"""What is read of conversations and how they are erased, on fakeredis."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.errors import HistoryUnavailable
from app.models import ActiveTurn, TurnEnd
from app.store.history import HistoryRepository
from tests.store.turns import ANSWER_AT, running_turns, turn, turn_messages

KEY = "chat:{user}:messages:default"
DELETED = TurnEnd("interrupted", "conversation_deleted", "gone")


def repository(redis: Redis) -> HistoryRepository:
    return HistoryRepository(redis, closed_seconds=300)


async def add(redis: Redis, *turn_ids: str, user_id: str = "user", conversation_id: str = "default") -> None:
    """Run turns from start to end."""
    running = running_turns(redis)
    for turn_id in turn_ids:
        record = turn(turn_id, user_id=user_id, conversation_id=conversation_id)
        assert (await running.start(record, fingerprint="", may_interrupt=False)).outcome == "started"
        await running.finish(record, *turn_messages(turn_id), TurnEnd("complete"))


async def test_an_unknown_conversation_is_empty(fake_redis: Redis) -> None:
    assert await repository(fake_redis).messages("user", "default") == []


async def test_what_was_written_is_read_back(fake_redis: Redis) -> None:
    await add(fake_redis, "t1")
    assert await repository(fake_redis).messages("user", "default") == [*turn_messages("t1")]


async def test_an_element_that_is_no_message_is_left_out(fake_redis: Redis) -> None:
    await fake_redis.rpush(KEY, b"{}", b"junk")
    await add(fake_redis, "t1")
    assert len(await repository(fake_redis).messages("user", "default")) == 2


async def test_conversations_are_listed_newest_first_in_pages(fake_redis: Redis) -> None:
    for n in range(5):
        await add(fake_redis, f"t{n}", conversation_id=f"c{n}")
    history = repository(fake_redis)
    first = await history.conversations("user", limit=3)
    last = first[-1]
    rest = await history.conversations("user", limit=3, before=(last.updated_at_ms, last.conversation_id))
    assert {each.message_count for each in first} == {2}
    assert sorted(each.conversation_id for each in first + rest) == [f"c{n}" for n in range(5)]
    times = [each.updated_at_ms for each in first + rest]
    assert times == sorted(times, reverse=True)


async def test_a_conversation_that_has_lapsed_is_listed_no_more(fake_redis: Redis) -> None:
    await fake_redis.zadd("chat:{user}:conversations", {"long-ago": 1})
    await add(fake_redis, "t1")
    assert await repository(fake_redis).conversation_ids("user") == ["default"]


async def test_a_running_question_is_shown_before_it_is_kept(fake_redis: Redis) -> None:
    await running_turns(fake_redis).start(turn("t1"), fingerprint="", may_interrupt=False)
    history = repository(fake_redis)
    active = ActiveTurn("t1", "Hi", ANSWER_AT)
    assert await history.active_turn("user", "default") == active
    assert [each.active_turn for each in await history.conversations("user", limit=1)] == [active]
    assert await history.messages("user", "default") == []


async def test_a_deleted_conversation_leaves_no_key_and_names_its_turns(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "t2")
    await add(fake_redis, "t3", conversation_id="other")
    history = repository(fake_redis)
    assert await history.turn_ids("user", "default") == (["t1", "t2"], "")
    assert await history.delete("user", "default", "", DELETED)
    assert await history.messages("user", "default") == []
    assert await history.conversation_ids("user") == ["other"]


async def test_the_owner_of_a_deleted_conversations_turn_can_write_nothing_more(fake_redis: Redis) -> None:
    running, history = running_turns(fake_redis), repository(fake_redis)
    record = turn("t1")
    await running.start(record, fingerprint="", may_interrupt=False)
    assert await history.turn_ids("user", "default") == (["t1"], "t1")
    assert not await history.delete("user", "default", "", DELETED)
    assert await history.delete("user", "default", "t1", DELETED)
    assert (await running.renew([(record, True)]))[0].end == DELETED
    assert (await running.finish(record, *turn_messages("t1"), TurnEnd("complete"))).end == DELETED
    assert await history.messages("user", "default") == []


async def test_every_failure_of_redis_is_one_error(fake_redis: Redis) -> None:
    await fake_redis.set(KEY, "of another type")
    with pytest.raises(HistoryUnavailable):
        await repository(fake_redis).messages("user", "default")


async def test_a_refused_connection_is_the_same_error(
    fake_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(fake_redis, "execute_command", refuse)
    with pytest.raises(HistoryUnavailable):
        await repository(fake_redis).probe()
