"""The circuit breaker: three failures in a row, then one probe a cooldown."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from app.llm.breaker import Breaker


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(3):
        breaker.fail(is_probe=breaker.begin())
    return breaker


def test_three_failures_in_a_row_open_it_and_a_first_token_in_between_starts_the_count_again() -> None:
    breaker = Breaker(Clock())
    for _ in range(2):
        breaker.fail(is_probe=breaker.begin())
    breaker.succeed()
    for _ in range(2):
        breaker.fail(is_probe=breaker.begin())
    assert breaker.is_passable
    breaker.fail(is_probe=breaker.begin())
    assert not breaker.is_passable


def test_the_cooldown_doubles_up_to_a_minute() -> None:
    clock = Clock()
    breaker = opened(clock)
    for seconds in (5, 10, 20, 40, 60, 60):
        clock.now += seconds - 0.1
        assert not breaker.is_passable
        clock.now += 0.1
        assert breaker.is_passable
        assert breaker.begin()
        assert not breaker.is_passable
        breaker.fail(is_probe=True)


def test_a_probe_that_tells_nothing_leaves_its_place() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    is_probe = breaker.begin()
    breaker.give_up(is_probe=is_probe)
    assert breaker.is_passable
    assert breaker.begin()


def test_a_first_token_closes_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 5
    breaker.begin()
    breaker.succeed()
    assert (breaker.is_open, breaker.is_passable) == (False, True)
    breaker.fail(is_probe=breaker.begin())
    assert breaker.is_passable


@given(st.lists(st.tuples(st.sampled_from(["fail", "give_up", "wait"]), st.integers(0, 9)), max_size=60))
def test_at_most_one_probe_runs_and_one_fails_a_cooldown(steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    breaker = opened(clock)
    failed_at: list[float] = []
    for step, seconds in steps:
        if step == "wait":
            clock.now += seconds
        elif breaker.is_passable:
            assert breaker.begin()
            assert not breaker.begin()
            if step == "fail":
                breaker.fail(is_probe=True)
                failed_at.append(clock.now)
            else:
                breaker.give_up(is_probe=True)
        else:
            breaker.fail(is_probe=breaker.begin())  # asked anyway, as all were open
    assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(failed_at))
