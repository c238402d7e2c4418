"""A limit on repeated log lines: if a thousand requests fail for one reason, a few lines are enough."""

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

_INTERVAL_SECONDS = 10.0
_LINES = 5
_MAX_KINDS = 1000


@dataclass(slots=True)
class _Interval:
    ends_at: float
    lines: int = 0


class StormFilter(logging.Filter):
    """Passes the first warnings and errors of a kind in each interval, and drops the rest.

    The first line of the next interval has `held_back`, the number of dropped lines.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._intervals: dict[Hashable, _Interval] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now = self._now()
        kind = _kind(record)
        interval = self._intervals.get(kind)
        if interval is None or now >= interval.ends_at:
            held_back = interval.lines - _LINES if interval is not None else 0
            if held_back > 0 and isinstance(record.msg, dict):
                record.msg["held_back"] = held_back
            interval = self._begin(kind, now)
        interval.lines += 1
        return interval.lines <= _LINES

    def _begin(self, kind: Hashable, now: float) -> _Interval:
        if len(self._intervals) >= _MAX_KINDS:
            self._intervals.clear()
        interval = self._intervals[kind] = _Interval(now + _INTERVAL_SECONDS)
        return interval


def _kind(record: logging.LogRecord) -> Hashable:
    """Return what lines of one kind have in common. The message of structlog is a dictionary."""
    if isinstance(record.msg, dict):
        return record.name, record.msg.get("event"), record.msg.get("code")
    return record.name, str(record.msg)
