"""The deadlines of an answer."""

import asyncio
from collections.abc import Callable

import pytest

from app.errors import UpstreamTimeout
from app.llm.deadlines import AFTER_FINISH_SECONDS, Deadlines, TimeLimits

LONG, SHORT = 60.0, 0.01


@pytest.mark.parametrize(
    ("first_token", "token_gap", "total", "reason"),
    [
        (SHORT, LONG, LONG, "no token"),
        (LONG, SHORT, LONG, "silent"),
        (LONG, LONG, SHORT, "longer"),
    ],
)
async def test_each_deadline_is_noticed_whatever_the_others_are(
    first_token: float, token_gap: float, total: float, reason: str
) -> None:
    now = asyncio.get_running_loop().time
    limits = TimeLimits(connect=LONG, first_token=first_token, token_gap=token_gap, total=total)
    deadlines = Deadlines(limits, now())

    async def wait_in_vain() -> None:
        with deadlines.enforced():
            if first_token > SHORT:
                deadlines.content_arrived(now())
            await asyncio.Event().wait()

    async with asyncio.timeout(LONG / 2):
        with pytest.raises(UpstreamTimeout, match=reason):
            await wait_in_vain()


async def passed_with(*calls: Callable[[Deadlines, float], None], total: float = LONG) -> float:
    """Return how long after these calls the next deadline passes."""
    began = asyncio.get_running_loop().time()
    deadlines = Deadlines(TimeLimits(connect=LONG, first_token=LONG, token_gap=LONG, total=total), began)
    for call in calls:
        call(deadlines, began + 1)
    return deadlines.next - began


async def test_after_the_finish_only_the_end_is_waited_for() -> None:
    assert await passed_with(Deadlines.answer_finished) == pytest.approx(1 + AFTER_FINISH_SECONDS)
    # It may take the answer a little beyond the total: the answer is whole.
    assert await passed_with(Deadlines.answer_finished, total=1.5) == pytest.approx(1 + AFTER_FINISH_SECONDS)


async def test_a_second_finish_gives_no_more_time() -> None:
    def later(deadlines: Deadlines, now: float) -> None:
        deadlines.answer_finished(now + 1)

    assert await passed_with(Deadlines.answer_finished, later) == pytest.approx(1 + AFTER_FINISH_SECONDS)


async def test_content_after_a_finish_gives_the_gap_again_and_the_next_finish_is_within_the_total() -> None:
    def disproved(deadlines: Deadlines, now: float) -> None:
        deadlines.finish_disproved()
        deadlines.content_arrived(now)

    calls = Deadlines.answer_finished, disproved
    assert await passed_with(*calls) == pytest.approx(LONG)
    assert await passed_with(*calls, Deadlines.answer_finished) == pytest.approx(1 + AFTER_FINISH_SECONDS)
    assert await passed_with(*calls, Deadlines.answer_finished, total=1.5) == pytest.approx(1.5)


async def test_a_backend_that_writes_a_finish_reason_into_every_chunk_meets_the_total() -> None:
    now = asyncio.get_running_loop().time
    limits = TimeLimits(connect=LONG, first_token=LONG, token_gap=LONG, total=0.1)
    deadlines = Deadlines(limits, now())

    async def read_for_ever() -> None:
        with deadlines.enforced():
            while True:
                deadlines.finish_disproved()
                deadlines.content_arrived(now())
                deadlines.answer_finished(now())
                await asyncio.sleep(0)

    async with asyncio.timeout(LONG / 2):
        with pytest.raises(UpstreamTimeout, match="longer"):
            await read_for_ever()
