"""A limit on repeated log lines: if a thousand requests fail for one reason, a few lines are enough."""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import structlog
from structlog.typing import EventDict, WrappedLogger

_INTERVAL_SECONDS = 10.0
_LINES = 5
_MAX_KINDS = 1000
_LIMITED_LEVELS = frozenset({"warning", "error", "critical"})


@dataclass(slots=True)
class _Interval:
    ends_at: float
    lines: int = 0


class StormFilter:
    """Passes the first warnings and errors of a kind in each interval, and drops the rest.

    The first line of the next interval has `held_back`, the number of dropped lines. Lines are of one kind if
    their event and `code` are the same, or their field `_kind`, which is not logged.
    """

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._intervals: dict[Hashable, _Interval] = {}

    def __call__(self, _logger: WrappedLogger, level: str, fields: EventDict) -> EventDict:
        """Process a line of structlog.

        Raises:
            structlog.DropEvent: The line is held back.
        """
        kind = fields.pop("_kind", None)
        if level not in _LIMITED_LEVELS:
            return fields
        now = self._now()
        kind = kind or (fields.get("event"), fields.get("code"))
        interval = self._intervals.get(kind)
        if interval is None or now >= interval.ends_at:
            held_back = interval.lines - _LINES if interval is not None else 0
            if held_back > 0:
                fields["held_back"] = held_back
            interval = self._begin(kind, now)
        interval.lines += 1
        if interval.lines > _LINES:
            raise structlog.DropEvent
        return fields

    def _begin(self, kind: Hashable, now: float) -> _Interval:
        if len(self._intervals) >= _MAX_KINDS:
            self._intervals.clear()
        interval = self._intervals[kind] = _Interval(now + _INTERVAL_SECONDS)
        return interval
