"""The clocks: the event loop's, for intervals, and the wall clock, for what is stored."""

import asyncio
from datetime import UTC, datetime


def now() -> float:
    """Return the running event loop's time in seconds. It is monotonic."""
    return asyncio.get_running_loop().time()


def rfc3339(moment: datetime) -> str:
    """Format a moment in UTC as RFC 3339, to the millisecond."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_unix() -> int:
    """Return the wall-clock time in seconds since the epoch."""
    return int(datetime.now(UTC).timestamp())


def now_rfc3339() -> str:
    """Return the wall-clock time as RFC 3339, to the millisecond."""
    return rfc3339(datetime.now(UTC))
