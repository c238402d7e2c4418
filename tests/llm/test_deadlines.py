"""The deadlines of an answer."""

import asyncio

import pytest

from app.errors import UpstreamTimeout
from app.llm.deadlines import Deadlines, TimeLimits

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
