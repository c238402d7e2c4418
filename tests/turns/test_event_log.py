"""The events of a turn in memory: packed or not, they read the same."""

from hypothesis import given
from hypothesis import strategies as st

from app.store.codec import pack, unpack
from app.turns.event_log import EventLog

EVENTS = st.lists(st.binary(min_size=1).filter(lambda event: b"\n" not in event), min_size=1)


@given(EVENTS)
def test_events_are_packed_without_loss(events: list[bytes]) -> None:
    assert unpack(pack(events)) == events


@given(st.lists(st.integers(1, 50)), st.integers(0, 500))
def test_every_event_is_read_in_order_from_any_place(batches: list[int], after: int) -> None:
    log = EventLog()
    events: list[bytes] = []
    for size in batches:
        batch = [b"%d" % (len(events) + n) for n in range(1, size + 1)]
        log.extend(batch)
        events += batch
    assert len(log) == len(events)
    assert log.all_after(after) == events[after:]
