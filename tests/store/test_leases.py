"""Who may run a conversation's turn and write its end, on fakeredis."""

import json
from typing import Any

import pytest
from redis.asyncio import Redis

from app.errors import HistoryUnavailable, RateLimited, TooManyConversations
from app.models import TurnEnd
from app.store import keys
from app.store.history import RawBlock
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.owner_mailbox import OwnerMailbox, TurnAddress
from tests.store.turns import ANSWER_AT, RunningTurns, running_turns, turn, turn_messages

KEY = "chat:{user}:messages:default"
RUNNING = "chat:{user}:running:default"
WHOLE = TurnEnd("complete")
LOST = TurnEnd("interrupted", "generation_lost", "gone")


@pytest.fixture
def running(fake_redis: Redis) -> RunningTurns:
    return running_turns(fake_redis)


async def start(running: RunningTurns, turn_id: str, **kept: str) -> str:
    return (
        await running.start(turn(turn_id, **kept), fingerprint="f", if_busy="reject_if_read", is_limited=True)
    ).outcome


async def complete(running: RunningTurns, *turn_ids: str, **kept: str) -> None:
    for turn_id in turn_ids:
        assert await start(running, turn_id, **kept) == "started"
        await running.finished.finish(turn(turn_id, **kept), *turn_messages(turn_id), WHOLE)


async def lapse(redis: Redis) -> None:
    """Let the lease have run out."""
    await redis.hset(RUNNING, "lease_until", "1")


async def kept(redis: Redis) -> list[str]:
    return [json.loads(element)["turn_id"] for element in await redis.lrange(KEY, 0, -1)]


async def test_a_finished_turn_is_two_elements_of_the_conversations_list(
    running: RunningTurns, fake_redis: Redis
) -> None:
    await complete(running, "t1")
    assert [json.loads(element) for element in await fake_redis.lrange(KEY, 0, -1)] == [
        {"role": "user", "content": "Hi", "turn_id": "t1", "created_at": ANSWER_AT},
        {
            "role": "assistant",
            "content": "Hello",
            "turn_id": "t1",
            "created_at": ANSWER_AT,
            "status": "complete",
            "model": "test-model",
            "finish_reason": None,
            "usage": None,
            "usage_estimated": False,
        },
    ]


async def test_a_repeated_end_changes_nothing_also_after_other_turns(
    running: RunningTurns, fake_redis: Redis
) -> None:
    await complete(running, "t1", "t2")
    again = await running.finished.finish(turn("t1"), *turn_messages("t1"), LOST)
    assert (again.outcome, again.end) == ("closed before", WHOLE)
    assert await kept(fake_redis) == ["t1", "t1", "t2", "t2"]


@pytest.mark.parametrize("max_messages", [4, 5])
async def test_above_the_cap_the_oldest_turns_are_dropped_whole(fake_redis: Redis, max_messages: int) -> None:
    await complete(running_turns(fake_redis, max_messages=max_messages), "t1", "t2", "t3")
    assert await kept(fake_redis) == ["t2", "t2", "t3", "t3"]


async def test_a_conversation_is_forgotten_some_time_after_its_last_turn(fake_redis: Redis) -> None:
    await complete(running_turns(fake_redis, ttl_seconds=60), "t1")
    for key in (KEY, "chat:{user}:conversations"):
        assert 0 < await fake_redis.ttl(key) <= 60


async def test_dropped_turns_are_the_oldest_ones_and_the_rest_stays_below_the_bytes(
    fake_redis: Redis,
) -> None:
    leases = running_turns(fake_redis, max_bytes=2000)
    for n in range(10):
        assert await start(leases, f"t{n}") == "started"
        await leases.finished.finish(turn(f"t{n}"), *turn_messages(f"t{n}", "x" * 50 * n), WHOLE)
        elements: list[Any] = await fake_redis.lrange(KEY, 0, -1)
        size = await fake_redis.hget("chat:{user}:sizes", "default")
        assert size == b"%d:t%d" % (sum(map(len, elements)), n)
        assert int(size.split(b":")[0]) <= 2000
    assert await kept(fake_redis) == ["t8", "t8", "t9", "t9"]


async def test_the_newest_turn_stays_even_if_it_is_too_long_alone(fake_redis: Redis) -> None:
    await complete(running_turns(fake_redis, max_bytes=10), "t1", "t2")
    assert await kept(fake_redis) == ["t2", "t2"]


@pytest.mark.parametrize("known", [None, "12345:another"])
async def test_a_conversation_that_another_release_wrote_is_counted_anew(
    fake_redis: Redis, known: str | None
) -> None:
    await complete(running_turns(fake_redis), *[f"t{n}" for n in range(8)])
    await fake_redis.delete("chat:{user}:sizes")
    if known:
        await fake_redis.hset("chat:{user}:sizes", "default", known)
    await complete(running_turns(fake_redis, max_bytes=700), "t8")
    assert await kept(fake_redis) == ["t7", "t7", "t8", "t8"]
    elements: list[Any] = await fake_redis.lrange(KEY, 0, -1)
    assert await fake_redis.hget("chat:{user}:sizes", "default") == b"%d:t8" % sum(map(len, elements))


async def test_what_the_backend_said_is_not_in_the_mark_of_a_closed_turn(
    running: RunningTurns, fake_redis: Redis
) -> None:
    end = TurnEnd("error", "upstream_error", "cannot answer: my secret question")
    await start(running, "t1")
    for outcome in ("closed", "closed before"):
        closed = await running.finished.finish(turn("t1"), *turn_messages("t1"), end)
        assert (closed.outcome, closed.end) == (outcome, end)
    mark = await fake_redis.get(keys.closed("user", "t1"))
    assert mark == b'{"status":"error","code":"upstream_error"}'


async def test_a_start_that_failed_does_not_count_in_its_minute(fake_redis: Redis) -> None:
    leases = running_turns(fake_redis, a_minute=2)
    await complete(leases, "t1")
    for n in range(5):
        assert await start(leases, f"failed{n}") == "started"
        for _ in range(2):  # its reply may be lost
            await leases.abandon(turn(f"failed{n}"))
    await complete(leases, "t2")
    with pytest.raises(RateLimited):
        await start(leases, "t3")


async def test_a_start_that_fails_in_a_later_minute_gives_nothing_back(fake_redis: Redis) -> None:
    leases = running_turns(fake_redis, a_minute=2)
    await start(leases, "t1")
    await fake_redis.hset(RUNNING, "counted_until", "1")
    await leases.abandon(turn("t1"))
    assert await fake_redis.get("chat:{user}:started-turns") == b"1"


async def test_one_conversation_too_many_is_refused_and_the_others_go_on(fake_redis: Redis) -> None:
    leases = running_turns(fake_redis, conversations=2, a_minute=3)
    await complete(leases, "t1", conversation_id="a")
    await complete(leases, "t2", conversation_id="b")
    with pytest.raises(TooManyConversations):
        await start(leases, "t3", conversation_id="c")
    await complete(leases, "t4", conversation_id="a")


async def test_conversations_that_have_expired_make_room_for_new_ones(fake_redis: Redis) -> None:
    leases = running_turns(fake_redis, conversations=2)
    await complete(leases, "t1", conversation_id="a")
    await complete(leases, "t2", conversation_id="b")
    await fake_redis.delete("chat:{user}:messages:a")
    await complete(leases, "t3", conversation_id="c")
    assert await fake_redis.zrange("chat:{user}:conversations", 0, -1) == [b"b", b"c"]


@pytest.mark.parametrize(("before", "after", "left"), [(0, 5, -1), (500, 5, 500), (5, 500, 500), (5, 0, -1)])
async def test_the_index_lives_as_long_as_any_conversation_in_it(
    fake_redis: Redis, before: int, after: int, left: int
) -> None:
    await complete(running_turns(fake_redis, ttl_seconds=before), "t1", conversation_id="a")
    await complete(running_turns(fake_redis, ttl_seconds=after), "t2", conversation_id="b")
    found = await fake_redis.ttl("chat:{user}:conversations")
    assert left - 2 <= found <= left
    assert await fake_redis.zcard("chat:{user}:conversations") == 2


async def test_with_a_ttl_of_zero_it_is_never_forgotten(fake_redis: Redis) -> None:
    await complete(running_turns(fake_redis, ttl_seconds=60), "t1")
    await complete(running_turns(fake_redis, ttl_seconds=0), "t2")
    for key in (KEY, "chat:{user}:conversations"):
        assert await fake_redis.ttl(key) == -1


async def test_users_and_conversations_are_kept_apart_whatever_their_names(
    running: RunningTurns, fake_redis: Redis
) -> None:
    await complete(running, "t1", user_id="a:messages", conversation_id="b")
    await complete(running, "t2", user_id="a", conversation_id="messages:b")
    await complete(running, "t3", user_id="{a}", conversation_id="ż b")
    assert set(await fake_redis.keys("*:messages:*")) - set(await fake_redis.keys("*:closed:*")) == {
        b"chat:{a%3Amessages}:messages:b",
        b"chat:{a}:messages:messages%3Ab",
        b"chat:{%7Ba%7D}:messages:%C5%BC%20b",
    } | {key for key in await fake_redis.keys("chat:{a%3Amessages}:*") if b":messages:b" in key}


async def test_a_conversation_has_one_turn_at_a_time(running: RunningTurns) -> None:
    assert await start(running, "t1") == "started"
    second = await running.start(turn("t2"), fingerprint="", if_busy="reject_if_read", is_limited=True)
    assert (second.outcome, second.turn_id) == ("busy", "t1")
    assert await start(running, "t3", conversation_id="other") == "started"


async def test_a_start_whose_reply_was_lost_is_repeated_without_harm(running: RunningTurns) -> None:
    record = turn("t1", request="digest")
    for _ in range(2):
        again = await running.start(record, fingerprint="f", if_busy="reject_if_read", is_limited=True)
        assert again.outcome == "started"


async def test_a_start_reads_the_newest_messages_as_far_as_they_fit(fake_redis: Redis) -> None:
    running = running_turns(fake_redis, max_bytes=450)
    elements = [str(n) * 200 for n in range(4)]
    await fake_redis.rpush(KEY, *elements)
    for _ in range(2):  # the second time as if the first reply had been lost
        started = await running.start(
            turn("t1"), fingerprint="", if_busy="reject", is_limited=True, with_history=True
        )
        assert started.history == RawBlock(2, [b"3" * 200, b"2" * 200])


async def test_a_start_reads_one_message_however_long_and_none_unless_asked(fake_redis: Redis) -> None:
    running = running_turns(fake_redis, max_bytes=10)
    await fake_redis.rpush(KEY, "x" * 200)
    read = await running.start(
        turn("t1"), fingerprint="", if_busy="reject", is_limited=True, with_history=True
    )
    assert read.history == RawBlock(0, [b"x" * 200])
    unread = await running.start(turn("t1"), fingerprint="", if_busy="reject", is_limited=True)
    assert unread.history is None


async def test_only_a_turn_that_starts_gets_a_journal(running: RunningTurns, fake_redis: Redis) -> None:
    journal = TurnJournal(fake_redis, ttl_seconds=300)
    await start(running, "t1")
    assert await start(running, "t2") == "busy"
    assert [await journal.record(turn_id) is not None for turn_id in ("t1", "t2")] == [True, False]
    assert await journal.missing(["t1", "t2"]) == ["t2"]
    lease_until = int(await fake_redis.hget(RUNNING, "lease_until") or 0)
    assert await fake_redis.zscore(keys.running_turns(keys.shard_of("t1")), "t1") == lease_until
    assert await fake_redis.zscore(keys.running_turns(keys.shard_of("t2")), "t2") is None


async def test_a_turn_without_readers_makes_way_and_its_owner_is_told(running: RunningTurns) -> None:
    await start(running, "t1")
    await running.renew([(turn("t1"), False)])
    assert await start(running, "t2") == "interrupting"
    assert (await running.renew([(turn("t1"), False)]))[0].stop == "interrupted"


async def test_a_reader_elsewhere_is_a_reader(running: RunningTurns, fake_redis: Redis) -> None:
    await start(running, "t1")
    await running.renew([(turn("t1"), False)])
    await OwnerMailbox(fake_redis).mark_readers([TurnAddress("user", "default", "t1")], seconds=5)
    assert await start(running, "t2") == "busy"
    assert (await running.renew([(turn("t1"), False)]))[0].has_remote_reader


async def test_the_first_to_ask_says_what_a_turn_is_stopped_for(
    running: RunningTurns, fake_redis: Redis
) -> None:
    await start(running, "t1")
    await OwnerMailbox(fake_redis).stop(TurnAddress("user", "default", "t1"), "stopped")
    await running.start(turn("t2"), fingerprint="", if_busy="interrupt", is_limited=True)
    assert (await running.renew([(turn("t1"), True)]))[0].stop == "stopped"


async def test_a_request_that_is_repeated_attaches_and_another_with_its_key_is_refused(
    running: RunningTurns,
) -> None:
    await start(running, "t1", request="digest")
    again = await running.start(
        turn("t2", request="digest"), fingerprint="f", if_busy="reject_if_read", is_limited=True
    )
    assert (again.outcome, again.turn_id) == ("attached", "t1")
    other = await running.start(
        turn("t3", request="digest"), fingerprint="g", if_busy="reject_if_read", is_limited=True
    )
    assert other.outcome == "reused"


async def test_a_start_that_is_taken_back_leaves_no_key(running: RunningTurns, fake_redis: Redis) -> None:
    record = turn("t1", request="digest")
    await running.start(record, fingerprint="f", if_busy="reject_if_read", is_limited=True)
    assert await running.abandon(record) == "unread"
    await TurnJournal(fake_redis, ttl_seconds=300).discard("t1")
    assert await fake_redis.keys("*") == []


async def test_what_another_turn_holds_is_not_taken_back(running: RunningTurns) -> None:
    await start(running, "t2")
    await running.abandon(turn("t1"))
    assert await start(running, "t3") == "busy"


async def test_a_lapsed_turn_is_found_and_closed_once(running: RunningTurns, fake_redis: Redis) -> None:
    await start(running, "t1")
    await running.renew([(turn("t1"), True)])
    assert await LeaseIndex(fake_redis).lapsed(10) == []
    await fake_redis.zadd(keys.running_turns(keys.shard_of("t1")), {"t1": 1})
    assert await LeaseIndex(fake_redis).lapsed(10) == ["t1"]
    alive = await running.finished.finish(turn("t1"), *turn_messages("t1"), LOST, only_if_lapsed=True)
    assert alive.outcome == "alive"
    await lapse(fake_redis)
    assert await start(running, "t2") == "lapsed"
    closed = await running.finished.finish(turn("t1"), *turn_messages("t1", "Hel"), LOST, only_if_lapsed=True)
    assert (closed.outcome, closed.end) == ("closed", LOST)
    # The owner was only stopped for a while: it learns that it has lost the turn, and cannot store it again.
    assert (await running.renew([(turn("t1"), True)]))[0].end == LOST.without_message()
    assert (
        await running.finished.finish(turn("t1"), *turn_messages("t1"), WHOLE)
    ).end == LOST.without_message()
    assert await kept(fake_redis) == ["t1", "t1"]


async def test_a_lapsed_lease_that_is_renewed_before_anybody_closed_it_is_held_again(
    running: RunningTurns, fake_redis: Redis
) -> None:
    await start(running, "t1")
    await lapse(fake_redis)
    assert (await running.renew([(turn("t1"), True)]))[0].outcome == "held"
    assert await start(running, "t2") == "busy"


async def test_an_end_that_redis_refuses_half_way_is_still_to_be_written(
    running: RunningTurns, fake_redis: Redis
) -> None:
    await start(running, "t1")
    await fake_redis.set(KEY, "of another type")
    for _ in range(2):
        with pytest.raises(HistoryUnavailable):
            await running.finished.finish(turn("t1"), *turn_messages("t1"), WHOLE)
