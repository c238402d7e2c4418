"""Few lines in a storm: where a thousand requests fail for one reason, a few lines say so."""

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
    """Lets the first warnings and errors of a kind pass, and holds the others back for a while.

    The first line after that has `held_back`: how many there were.
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
    """Lines of one kind differ in nothing but whom they are about; structlog's message is a dictionary."""
    if isinstance(record.msg, dict):
        return record.name, record.msg.get("event"), record.msg.get("code")
    return record.name, str(record.msg)
