"""What is read of conversations, page by page and backwards, on fakeredis."""

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.errors import HistoryUnavailable
from app.models import ActiveTurn, Message, TurnEnd
from app.store.history import HistoryRepository, MessagePage, MessagePlace, RawBlock
from tests.store.turns import ANSWER_AT, running_turns, turn, turn_messages

KEY = "chat:{user}:messages:default"
INDEX = "chat:{user}:conversations"
DELETED = TurnEnd("interrupted", "conversation_deleted", "gone")


def repository(redis: Redis, *, max_bytes: int = 2**23) -> HistoryRepository:
    return HistoryRepository(redis, closed_seconds=300, max_bytes=max_bytes)


async def add(
    redis: Redis,
    *turn_ids: str,
    user_id: str = "user",
    conversation_id: str = "default",
    content: str = "Hello",
    max_messages: int = 1000,
) -> None:
    """Run turns from start to end."""
    running = running_turns(redis, max_messages=max_messages)
    for turn_id in turn_ids:
        record = turn(turn_id, user_id=user_id, conversation_id=conversation_id)
        assert (
            await running.start(record, fingerprint="", if_busy="reject_if_read", is_limited=True)
        ).outcome == "started"
        await running.finished.finish(record, *turn_messages(turn_id, content), TurnEnd("complete"))


async def page(
    redis: Redis, *, limit: int = 200, before: MessagePlace | None = None, conversation_id: str = "default"
) -> MessagePage:
    return await repository(redis).page("user", conversation_id, limit=limit, before=before)


def turn_ids(messages: list[Message]) -> list[str]:
    return [message.turn_id for message in messages]


async def pages(redis: Redis, *, limit: int, before: MessagePlace | None = None) -> list[str]:
    """Page to the beginning; the turns, oldest first."""
    found: list[str] = []
    while True:
        read = await page(redis, limit=limit, before=before)
        found = turn_ids(read.messages) + found
        if (before := read.before) is None:
            return found


async def test_an_unknown_conversation_is_empty(fake_redis: Redis) -> None:
    assert await page(fake_redis) == MessagePage([], None, None, exists=False)


async def test_what_was_written_is_read_back(fake_redis: Redis) -> None:
    await add(fake_redis, "t1")
    assert await page(fake_redis) == MessagePage([*turn_messages("t1")], None, None, exists=True)


@pytest.mark.parametrize("limit", [1, 3, 4, 200])
async def test_pages_have_every_message_once(fake_redis: Redis, limit: int) -> None:
    await add(fake_redis, *[f"t{n}" for n in range(6)])
    assert await pages(fake_redis, limit=limit) == [f"t{n}" for n in range(6) for _ in range(2)]


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_paging_goes_on_after_turns_were_added_and_dropped(fake_redis: Redis, limit: int) -> None:
    await add(fake_redis, *[f"t{n}" for n in range(20)])
    first = await page(fake_redis, limit=limit)
    await add(fake_redis, *[f"new{n}" for n in range(5)], max_messages=40)
    expected = [f"t{n}" for n in range(5, 20) for _ in range(2)][:-limit]
    assert await pages(fake_redis, limit=limit, before=first.before) == expected


async def test_a_place_of_the_release_before_has_no_position(fake_redis: Redis) -> None:
    await add(fake_redis, *[f"t{n}" for n in range(5)])
    place = MessagePlace("t3", "AssistantMessage")
    assert turn_ids((await page(fake_redis, before=place)).messages)[-2:] == ["t2", "t3"]


@pytest.mark.parametrize("position", [0, 5, 2**53])
async def test_nothing_is_before_a_message_that_was_dropped(fake_redis: Redis, position: int) -> None:
    await add(fake_redis, *[f"t{n}" for n in range(5)])
    read = await page(fake_redis, before=MessagePlace("gone", "UserMessage", position))
    assert read == MessagePage([], None, None, exists=True)


async def test_a_message_is_found_however_far_it_has_moved(fake_redis: Redis) -> None:
    await add(fake_redis, *[f"t{n}" for n in range(12)], content="x" * 300_000)
    read = await page(fake_redis, limit=1, before=MessagePlace("t1", "UserMessage", 2**53))
    assert turn_ids(read.messages) == ["t0"]


async def test_an_id_that_a_message_quotes_is_not_its_own(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "t2")
    await add(fake_redis, "t3", content='"turn_id":"t1"')
    read = await page(fake_redis, before=MessagePlace("t1", "AssistantMessage", 5))
    assert turn_ids(read.messages) == ["t1"]


async def test_a_page_of_long_messages_is_bounded_in_bytes(fake_redis: Redis) -> None:
    await add(fake_redis, *[f"t{n}" for n in range(5)], content="x" * 250_000)
    assert len((await page(fake_redis)).messages) == 4
    assert await pages(fake_redis, limit=200) == [f"t{n}" for n in range(5) for _ in range(2)]


async def test_elements_that_are_no_messages_are_left_out(fake_redis: Redis) -> None:
    await add(fake_redis, "t1")
    await fake_redis.rpush(KEY, b"{}", b"junk", b'{"role":"user","turn_id":')
    await add(fake_redis, "t2")
    assert turn_ids((await page(fake_redis)).messages) == ["t1", "t1", "t2", "t2"]
    assert await pages(fake_redis, limit=1) == ["t1", "t1", "t2", "t2"]


async def test_a_running_question_is_shown_before_it_is_kept(fake_redis: Redis) -> None:
    await running_turns(fake_redis).start(
        turn("t1"), fingerprint="", if_busy="reject_if_read", is_limited=True
    )
    active = ActiveTurn("t1", "Hi", ANSWER_AT)
    assert await page(fake_redis) == MessagePage([], None, active, exists=True)
    listed, _ = await repository(fake_redis).conversations("user", limit=1)
    assert [each.active_turn for each in listed] == [active]


async def listed_ids(redis: Redis, *, limit: int) -> list[str]:
    """Page through the conversations."""
    history, found, place = repository(redis), list[str](), None
    while True:
        listed, place = await history.conversations("user", limit=limit, before=place)
        assert len(listed) <= limit
        found += [each.conversation_id for each in listed]
        if place is None:
            return found


@pytest.mark.parametrize("limit", [1, 3, 200])
async def test_conversations_are_listed_newest_first_in_pages(fake_redis: Redis, limit: int) -> None:
    for n in range(7):
        await add(fake_redis, f"t{n}", conversation_id=f"c{n}")
        await fake_redis.zadd(INDEX, {f"c{n}": n // 3})
    assert await listed_ids(fake_redis, limit=limit) == ["c6", "c5", "c4", "c3", "c2", "c1", "c0"]


async def test_conversations_of_one_moment_are_more_than_a_step_reads(fake_redis: Redis) -> None:
    names = [f"c{n:03}" for n in range(250)]
    for name in names:
        await fake_redis.rpush(f"chat:{{user}}:messages:{name}", b"{}")
        await fake_redis.zadd(INDEX, {name: 7})
    assert await listed_ids(fake_redis, limit=60) == names[::-1]


async def test_a_conversation_whose_list_is_gone_is_passed_over_and_paging_goes_on(
    fake_redis: Redis,
) -> None:
    for n in range(6):
        await add(fake_redis, f"t{n}", conversation_id=f"c{n}")
        await fake_redis.zadd(INDEX, {f"c{n}": n})
    for n in (2, 4, 5):
        await fake_redis.delete(f"chat:{{user}}:messages:c{n}")
    assert await listed_ids(fake_redis, limit=1) == ["c3", "c1", "c0"]
    assert await fake_redis.zrange(INDEX, 0, -1) == [b"c0", b"c1", b"c3"]


async def test_turns_are_read_backwards_for_a_prompt(fake_redis: Redis) -> None:
    await add(fake_redis, *[f"t{n}" for n in range(40)], content="x" * 10_000)
    recent = repository(fake_redis).recent_turns("user", "default")
    found = [turn_ids([*stored.messages]) async for stored in recent.newest_first()]
    assert found == [[f"t{n}"] * 2 for n in reversed(range(40))]


async def test_no_more_of_a_conversation_is_read_than_may_be_kept(fake_redis: Redis) -> None:
    await add(fake_redis, *[f"t{n}" for n in range(40)], content="x" * 10_000)
    recent = repository(fake_redis, max_bytes=100_000).recent_turns("user", "default")
    found = [stored async for stored in recent.newest_first()]
    assert 8 <= len(found) <= 11
    assert recent.unread == 80 - 2 * len(found)


async def test_a_block_that_was_read_already_is_not_read_again(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "t2")
    elements: list[Any] = await fake_redis.lrange(KEY, 0, -1)
    await fake_redis.delete(KEY)
    recent = repository(fake_redis).recent_turns("user", "default", first=RawBlock(0, elements[::-1]))
    found = [turn_ids([*stored.messages]) async for stored in recent.newest_first()]
    assert found == [["t2"] * 2, ["t1"] * 2]


async def test_every_failure_of_redis_is_one_error(fake_redis: Redis) -> None:
    await fake_redis.set(KEY, "of another type")
    with pytest.raises(HistoryUnavailable):
        await page(fake_redis)


async def test_a_refused_connection_is_the_same_error(
    fake_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(fake_redis, "execute_command", refuse)
    with pytest.raises(HistoryUnavailable):
        await repository(fake_redis).probe()
