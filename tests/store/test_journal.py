"""The journal, on fakeredis: written once, read from any place, and closed for good."""

import pytest
from redis.asyncio import Redis

from app.models import TurnEnd
from app.store import keys
from app.store.journal import JournalCursor, TurnJournal
from tests.store.turns import turn

WHOLE = TurnEnd("complete")
LOST = TurnEnd("interrupted", "generation_lost", "gone")


@pytest.fixture
async def journal(fake_redis: Redis) -> TurnJournal:
    journal = TurnJournal(fake_redis, ttl_seconds=300)
    await journal.create(turn("t1", user_id="user", conversation_id="default"), lease_until_ms=1)
    return journal


async def read(journal: TurnJournal) -> tuple[list[bytes], TurnEnd | None]:
    journalled = await journal.read("t1")
    assert journalled is not None
    return journalled.events, journalled.end


async def test_events_come_back_in_order_with_their_end(journal: TurnJournal) -> None:
    await journal.append({"t1": (2, [b"1", b"2"])})
    await journal.append({"t1": (3, [b"3"])})
    await journal.close("t1", WHOLE)
    assert await read(journal) == ([b"1", b"2", b"3"], WHOLE)


async def test_what_is_written_twice_is_there_once(journal: TurnJournal) -> None:
    for _ in range(2):
        await journal.append({"t1": (2, [b"1", b"2"])})
    assert await read(journal) == ([b"1", b"2"], None)


async def test_what_is_written_again_with_more_is_there_once(journal: TurnJournal) -> None:
    await journal.append({"t1": (2, [b"1", b"2"])})
    await journal.append({"t1": (4, [b"1", b"2", b"3", b"4"])})
    assert await read(journal) == ([b"1", b"2", b"3", b"4"], None)
    arrived = await journal.tail({"t1": JournalCursor(1, is_committed=True)}, wait_ms=1)
    assert arrived["t1"].events == [b"2", b"3", b"4"]


async def test_nothing_is_written_after_what_redis_has_lost(journal: TurnJournal) -> None:
    assert await journal.append({"t1": (1, [b"1"])}) == {"t1": 1}
    assert await journal.append({"t1": (4, [b"3", b"4"])}) == {"t1": 1}
    assert await journal.close("t1", WHOLE, last=4) == 1
    assert await read(journal) == ([b"1"], None)
    assert await journal.append({"t1": (4, [b"2", b"3", b"4"])}) == {"t1": 4}
    assert await journal.close("t1", WHOLE, last=4) == 4
    assert await read(journal) == ([b"1", b"2", b"3", b"4"], WHOLE)


async def test_a_journal_that_is_gone_is_missing(journal: TurnJournal, fake_redis: Redis) -> None:
    await fake_redis.delete(keys.events("t1"))
    await journal.create(turn("t2", user_id="user", conversation_id="default"), lease_until_ms=1)
    assert await journal.missing(["t1", "t2"]) == ["t1"]


async def test_nothing_comes_after_the_end_and_the_first_end_stays(journal: TurnJournal) -> None:
    await journal.close("t1", LOST)
    await journal.append({"t1": (1, [b"1"])})
    await journal.close("t1", WHOLE)
    assert await read(journal) == ([], LOST)
    record = await journal.record("t1")
    assert record is not None
    assert record.status == "interrupted"


async def test_a_reader_gets_what_came_after_its_place(journal: TurnJournal) -> None:
    await journal.append({"t1": (2, [b"1", b"2"])})
    await journal.append({"t1": (3, [b"3"])})
    arrived = await journal.tail({"t1": JournalCursor(2, is_committed=True)}, wait_ms=1)
    assert arrived["t1"].events == [b"3"]


async def test_a_reader_that_knows_of_the_begin_is_not_told_again(journal: TurnJournal) -> None:
    await journal.mark_committed("t1")
    assert (await journal.tail({"t1": JournalCursor(0, is_committed=False)}, wait_ms=1))["t1"].is_committed
    assert await journal.tail({"t1": JournalCursor(0, is_committed=True)}, wait_ms=1) == {}


async def test_a_begin_that_comes_after_the_first_event_is_no_failure(journal: TurnJournal) -> None:
    await journal.append({"t1": (1, [b"1"])})
    await journal.mark_committed("t1")


async def test_after_its_end_it_lapses_and_its_record_later(journal: TurnJournal, fake_redis: Redis) -> None:
    await journal.close("t1", WHOLE)
    assert 0 < await fake_redis.ttl(keys.events("t1")) <= 300
    assert 86_400 < await fake_redis.ttl(keys.record("t1")) <= 86_700


async def test_an_erased_journal_tells_its_readers_and_is_not_made_again(
    journal: TurnJournal, fake_redis: Redis
) -> None:
    await journal.append({"t1": (1, [b"secret"])})
    await journal.erase(["t1"], LOST)
    await journal.append({"t1": (2, [b"more"])})
    await journal.close("t1", WHOLE)
    assert await journal.record("t1") is None
    assert await read(journal) == ([], LOST)
    assert await fake_redis.keys("*") == [keys.events("t1").encode()]


async def test_an_erased_journal_that_had_ended_leaves_no_key(
    journal: TurnJournal, fake_redis: Redis
) -> None:
    await journal.close("t1", WHOLE)
    await journal.erase(["t1", "unknown"], LOST)
    assert await fake_redis.keys("*") == []
