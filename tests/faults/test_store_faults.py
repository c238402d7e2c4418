"""A store that breaks while a turn starts, streams or ends: a clear end, nothing lost, nothing doubled."""

from functools import partial

import pytest

from tests.faults import store_breaks as store
from tests.faults.conftest import Prove
from tests.faults.fault import END, MID_ANSWER, NOTHING, START, Fault
from tests.faults.store_acts import (
    at_the_end,
    at_the_start,
    for_half_a_second_at_the_start,
    in_mid_answer,
    in_mid_answer_elsewhere,
    reply_lost_at_the_end,
    reply_lost_at_the_start,
    reply_lost_in_mid_answer,
    too_long_at_the_end,
    until_it_ends,
)

_fault = partial(Fault, "store")
_refused = partial(
    _fault, phase=START, sees="503 history_unavailable, Retry-After 2", stored=NOTHING, asked=0
)
_whole = partial(_fault, sees="Hello, then [DONE]", stored="Hello (complete)")
_START_SECONDS = 3.5
"""The limit for a clear answer while the store is broken."""
_PATIENCE = 1.3
"""Longer than a command waits for its reply, in seconds."""

STARTS = [
    _refused("refused", act=at_the_start(store.refused)),
    _refused("killed", act=at_the_start(store.killed)),
    _refused("frozen", act=at_the_start(store.frozen)),
    _refused("cut off from the network", act=at_the_start(store.cut_off)),
    _refused("carries out what it is sent, but cannot be heard", act=at_the_start(store.mute)),
    _refused("out of memory", act=at_the_start(store.out_of_memory)),
    _refused("a replica whose master is gone", act=at_the_start(store.read_only)),
    _refused("a master without its replicas", act=at_the_start(store.without_replicas)),
    _refused("busy with a script that does not end", act=at_the_start(store.busy)),
    _refused("a wrong password", act=at_the_start(store.wrong_password)),
    _refused("takes no more connections", act=at_the_start(store.full)),
    _refused("a STRING in place of the history", act=at_the_start(store.wrong_type)),
    _refused("the start's reply is lost, twice", act=reply_lost_at_the_start(times=2)),
    _whole("the start's reply is lost, once", START, act=reply_lost_at_the_start(times=1)),
    _whole("frozen for half a second", START, act=for_half_a_second_at_the_start(store.frozen)),
    _whole("three bytes at a time", START, act=at_the_start(store.slow)),
    _whole("all connections reset", START, act=at_the_start(store.reset)),
    _whole("all connections closed", START, act=at_the_start(store.closed)),
    _whole("killed and started again", START, act=at_the_start(store.restarted)),
    _whole("an element of the history is no message", START, act=at_the_start(store.junk)),
]

MIDDLES = [
    _whole("refused for a while", MID_ANSWER, act=in_mid_answer(store.refused)),
    _whole("frozen for a while", MID_ANSWER, act=in_mid_answer(store.frozen, seconds=_PATIENCE)),
    _whole(
        "cannot be heard for a while",
        MID_ANSWER,
        act=in_mid_answer(store.mute, seconds=_PATIENCE),
    ),
    _whole("three bytes at a time", MID_ANSWER, act=in_mid_answer(store.slow)),
    _whole("all connections reset", MID_ANSWER, act=in_mid_answer(store.reset)),
    _whole("all connections closed", MID_ANSWER, act=in_mid_answer(store.closed)),
    _whole("killed and started again", MID_ANSWER, act=in_mid_answer(store.killed)),
    _whole(
        "killed and started again, and the answer takes longer than the lease",
        MID_ANSWER,
        act=in_mid_answer(store.killed, seconds_afterwards=3.5),
        settings={"turn_lease_seconds": 3},
        has_replica=True,
    ),
    _whole("out of memory for a while", MID_ANSWER, act=in_mid_answer(store.out_of_memory)),
    _whole("a replica for a while", MID_ANSWER, act=in_mid_answer(store.read_only)),
    _whole("a wrong password for a while", MID_ANSWER, act=in_mid_answer(store.wrong_password)),
    _whole("it forgets its scripts", MID_ANSWER, act=in_mid_answer(store.scripts_forgotten)),
    _whole(
        "the journal's reply is lost",
        MID_ANSWER,
        act=reply_lost_in_mid_answer(silently=False),
        has_replica=True,
    ),
    _whole(
        "the journal's reply never comes",
        MID_ANSWER,
        act=reply_lost_in_mid_answer(silently=True),
        has_replica=True,
    ),
    _whole(
        "all connections reset, the reader is elsewhere",
        MID_ANSWER,
        act=in_mid_answer_elsewhere(store.reset),
        has_replica=True,
    ),
    _whole(
        "killed and started again, the reader is elsewhere",
        MID_ANSWER,
        act=in_mid_answer_elsewhere(store.killed),
        has_replica=True,
    ),
    _fault(
        "it loses all that it knew of the turn",
        MID_ANSWER,
        "Hel, then generation_lost",
        "Hel (interrupted)",
        act=until_it_ends(store.emptied),
    ),
]

ENDS = [
    _whole("refused for a while", END, act=at_the_end(store.refused)),
    _whole("frozen for a while", END, act=at_the_end(store.frozen, seconds=_PATIENCE)),
    _whole("cannot be heard for a while", END, act=at_the_end(store.mute, seconds=_PATIENCE)),
    _whole("three bytes at a time", END, act=at_the_end(store.slow, is_in_the_way=False)),
    _whole("all connections reset", END, act=at_the_end(store.reset, is_in_the_way=False)),
    _whole("killed and started again", END, act=at_the_end(store.killed)),
    _whole("out of memory for a while", END, act=at_the_end(store.out_of_memory)),
    _whole("a replica for a while", END, act=at_the_end(store.read_only)),
    _whole("busy for a while", END, act=at_the_end(store.busy)),
    _whole("a STRING in place of the history, for a while", END, act=at_the_end(store.wrong_type)),
    _whole("the last step's reply is lost", END, act=reply_lost_at_the_end("close_journal")),
    _whole("the reply to storing it is lost, once", END, act=reply_lost_at_the_end("finish_turn")),
    _whole("the reply to storing it is lost, twice", END, act=reply_lost_at_the_end("finish_turn", times=2)),
    _whole("no reply ever comes to storing it", END, act=reply_lost_at_the_end("finish_turn", silently=True)),
    _fault(
        "refused for too long",
        END,
        "Hello, then history_unavailable",
        "Hello (complete)",
        act=too_long_at_the_end(store.refused),
    ),
]
FAULTS = [*STARTS, *MIDDLES, *ENDS]


@pytest.mark.parametrize("fault", STARTS, ids=str)
async def test_a_turn_starts_whole_or_not_at_all_within_seconds(fault: Fault, proven: Prove) -> None:
    assert await proven(fault) < _START_SECONDS


@pytest.mark.parametrize("fault", MIDDLES, ids=str)
async def test_an_answer_goes_on_without_its_store(fault: Fault, proven: Prove) -> None:
    await proven(fault)


@pytest.mark.parametrize("fault", ENDS, ids=str)
async def test_a_turn_is_stored_once_and_only_then_done(fault: Fault, proven: Prove) -> None:
    await proven(fault)
