"""The end of a turn with its journal in one round trip, on fakeredis: all of it, or as far as is right."""

import json

import pytest
from redis.asyncio import Redis

from app.models import TurnEnd
from app.store import keys
from app.store.journal import TurnJournal
from tests.store.turns import RunningTurns, running_turns, turn, turn_messages

WHOLE = TurnEnd("complete")
FAILED = TurnEnd("error", "upstream_error", "It said: Hi")
DELETED = TurnEnd("interrupted", "conversation_deleted")
EVENTS = (2, [b"1", b"2"])


@pytest.fixture
async def running(fake_redis: Redis) -> RunningTurns:
    running = running_turns(fake_redis)
    await running.start(turn("t1"), fingerprint="", if_busy="reject", is_limited=True)
    return running


@pytest.fixture
def journal(fake_redis: Redis) -> TurnJournal:
    return TurnJournal(fake_redis, ttl_seconds=300)


async def finish(
    running: RunningTurns, end: TurnEnd = WHOLE, unwritten: tuple[int, list[bytes]] = EVENTS
) -> bool:
    return await running.finished.finish_with_journal(turn("t1"), *turn_messages("t1"), end, unwritten)


async def journalled(journal: TurnJournal) -> tuple[list[bytes], TurnEnd | None]:
    found = await journal.read("t1")
    assert found is not None
    return found.events, found.end


async def contents(redis: Redis) -> list[str]:
    return [
        json.loads(each)["content"] for each in await redis.lrange(keys.messages("user", "default"), 0, -1)
    ]


@pytest.mark.parametrize("end", [WHOLE, FAILED])
async def test_events_messages_and_end_are_stored_once_however_often_it_is_repeated(
    running: RunningTurns, journal: TurnJournal, fake_redis: Redis, end: TurnEnd
) -> None:
    for _ in range(2):
        assert await finish(running, end)
    assert await contents(fake_redis) == ["Hi", "Hello"]
    assert await journalled(journal) == ([b"1", b"2"], end)
    assert not await fake_redis.exists(
        keys.running("user", "default"), keys.running_turns(keys.shard_of("t1"))
    )


async def test_a_turn_that_is_not_stored_gets_no_end(
    running: RunningTurns, journal: TurnJournal, fake_redis: Redis
) -> None:
    await fake_redis.set(keys.messages("user", "default"), "of another type")
    assert not await finish(running)
    assert await journalled(journal) == ([b"1", b"2"], None)


@pytest.mark.parametrize("before", [DELETED, TurnEnd("interrupted", "generation_lost")])
async def test_the_end_that_another_process_gave_the_turn_stays(
    running: RunningTurns, journal: TurnJournal, fake_redis: Redis, before: TurnEnd
) -> None:
    await running.finished.finish(turn("t1"), *turn_messages("t1", "Hel"), before)
    assert not await finish(running)
    assert await contents(fake_redis) == ["Hi", "Hel"]
    assert (await journalled(journal))[1] is None


async def test_a_journal_that_redis_has_lost_events_of_stays_open(
    running: RunningTurns, journal: TurnJournal
) -> None:
    assert not await finish(running, unwritten=(4, [b"3", b"4"]))
    assert await journalled(journal) == ([], None)
    assert await finish(running, unwritten=(4, [b"1", b"2", b"3", b"4"]))
    assert await journalled(journal) == ([b"1", b"2", b"3", b"4"], WHOLE)


async def test_an_erased_journal_is_not_made_again(
    running: RunningTurns, journal: TurnJournal, fake_redis: Redis
) -> None:
    await journal.discard("t1")
    assert await finish(running)
    assert not await fake_redis.exists(keys.events("t1"), keys.record("t1"))


async def test_a_turn_without_events_ends_as_well(running: RunningTurns, journal: TurnJournal) -> None:
    assert await finish(running, FAILED, (0, []))
    assert await journalled(journal) == ([], FAILED)
