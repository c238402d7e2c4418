"""How titles are made, set and erased, on fakeredis."""

import msgspec
import pytest
from redis.asyncio import Redis

from app.models import TurnEnd
from app.store.history import HistoryRepository
from app.store.titles import TitleRepository, title_from
from tests.store.turns import running_turns, turn, turn_messages

TITLES = "chat:{user}:titles"


def repository(redis: Redis) -> TitleRepository:
    return TitleRepository(redis)


async def add(redis: Redis, turn_id: str, conversation_id: str, question: str) -> None:
    """Run a turn from start to end."""
    running = running_turns(redis)
    record = turn(turn_id, conversation_id=conversation_id)
    await running.start(record, fingerprint="", if_busy="reject", is_limited=False)
    asked, answered = turn_messages(turn_id)
    await running.finished.finish(
        record, msgspec.structs.replace(asked, content=question), answered, TurnEnd("complete")
    )


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("Why is the sky blue?", "Why is the sky blue?"),
        ("one two three four five six seven eight nine", "one two three four five six seven eight…"),
        ("  a\n\tb  ", "a b"),
        ("x" * 70, "x" * 60 + "…"),
        ("null\x00 and \x1b[31m", "null and [31m"),
        ("", ""),
    ],
)
def test_a_default_title_is_the_first_words_of_a_question(question: str, title: str) -> None:
    assert title_from(question) == title


@pytest.mark.parametrize(
    "question", ['a "quoted" \\ word', "ünï 🙂 💥", "x" * 10_000, "\\u0041 \n \x07", "é" * 5000]
)
async def test_a_default_title_is_read_from_the_first_message_and_stored(
    fake_redis: Redis, question: str
) -> None:
    await add(fake_redis, "t1", "a", question)
    await add(fake_redis, "t2", "a", "Another question")
    titles = repository(fake_redis)
    assert await titles.titles("user", ["a", "unknown"]) == {"a": title_from(question)}
    assert await fake_redis.hgetall(TITLES) == {b"a": title_from(question).encode()}
    # It stays when the first question has been trimmed.
    await fake_redis.ltrim("chat:{user}:messages:a", 2, -1)
    assert await titles.titles("user", ["a"]) == {"a": title_from(question)}


async def test_a_first_element_that_is_no_message_gives_no_title(fake_redis: Redis) -> None:
    await fake_redis.rpush("chat:{user}:messages:a", b"junk")
    await fake_redis.zadd("chat:{user}:conversations", {"a": 1})
    assert await repository(fake_redis).titles("user", ["a"]) == {}


async def test_a_title_of_ones_own_replaces_the_default_and_is_not_replaced_by_it(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "a", "A question")
    titles = repository(fake_redis)
    assert await titles.rename("user", "a", "Mine")
    assert await titles.titles("user", ["a"]) == {"a": "Mine"}
    assert await fake_redis.ttl(TITLES) == 60


async def test_an_unknown_conversation_cannot_be_renamed(fake_redis: Redis) -> None:
    assert not await repository(fake_redis).rename("user", "a", "Mine")
    assert not await fake_redis.exists(TITLES)


async def test_titles_are_kept_for_ever_if_conversations_are(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "a", "A question")
    await fake_redis.persist("chat:{user}:conversations")
    await repository(fake_redis).rename("user", "a", "Mine")
    assert await fake_redis.ttl(TITLES) == -1


async def test_a_conversation_is_erased_with_its_title(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "a", "A question")
    titles = repository(fake_redis)
    await titles.rename("user", "a", "Mine")
    history = HistoryRepository(fake_redis, closed_seconds=300, max_bytes=1000)
    await history.drop("user", "a", await history.erasable_turns("user", "a"))
    assert await history.delete("user", "a", "", TurnEnd("interrupted"))
    assert not await fake_redis.exists(TITLES)
    # A reader of the list that comes too late does not bring it back.
    assert not await titles.rename("user", "a", "Mine")
    assert not await fake_redis.exists(TITLES)


async def test_a_conversation_that_has_expired_takes_its_title_along(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "a", "A question")
    await repository(fake_redis).rename("user", "a", "Mine")
    await fake_redis.delete("chat:{user}:messages:a")
    assert (
        await HistoryRepository(fake_redis, closed_seconds=300, max_bytes=1000).conversations("user", limit=9)
    )[0] == []
    assert not await fake_redis.exists(TITLES)


async def test_titles_are_kept_as_long_as_the_conversation_goes_on(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "a", "A question")
    await fake_redis.expire("chat:{user}:conversations", 5)
    await repository(fake_redis).rename("user", "a", "Mine")
    assert await fake_redis.ttl(TITLES) == 5
    await add(fake_redis, "t2", "a", "Another question")
    assert await fake_redis.ttl(TITLES) == 60


async def test_a_shorter_time_to_live_takes_no_title_from_an_older_conversation(fake_redis: Redis) -> None:
    await add(fake_redis, "t1", "a", "A question")
    await repository(fake_redis).rename("user", "a", "Mine")
    running = running_turns(fake_redis, ttl_seconds=5)
    record = turn("t2", conversation_id="b")
    await running.start(record, fingerprint="", if_busy="reject", is_limited=False)
    await running.finished.finish(record, *turn_messages("t2"), TurnEnd("complete"))
    assert await fake_redis.ttl(TITLES) > 5
