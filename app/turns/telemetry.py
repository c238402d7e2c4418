"""What a turn takes, told in the metrics and, at its start and its end, in the log."""

import time
from typing import Any

import structlog

from app.models import TurnEnd, TurnRecord
from app.observability.metrics import Metrics

_log = structlog.get_logger()


class TurnTelemetry:
    """Of one turn. Nobody's words are in it."""

    def __init__(self, record: TurnRecord, metrics: Metrics) -> None:
        """Begin with the turn."""
        self._metrics = metrics
        self._log = _log.bind(turn_id=record.turn_id, model=record.model)
        self._began = time.monotonic()
        self._first_token_at: float | None = None
        self._last_token_at = self._began
        self._has_ended = False
        self._log.info("a turn has started")

    def tokens_arrived(self) -> None:
        """Something of the answer has come."""
        now = time.monotonic()
        if self._first_token_at is None:
            self._first_token_at = now
            self._metrics.first_token_seconds.observe(now - self._began)
        else:
            self._metrics.gap_seconds.observe(now - self._last_token_at)
        self._last_token_at = now

    def ended(self, end: TurnEnd, usage: dict[str, Any] | None) -> None:
        """The turn's readers have been told its end; it may be stored later than that, and counts once."""
        if self._has_ended:
            return
        self._has_ended = True
        seconds = time.monotonic() - self._began
        self._metrics.turns.labels(end.status, end.code or "").inc()
        self._metrics.turn_seconds.observe(seconds)
        tokens = {direction: _count(usage, field) for direction, field in _COUNTED.items()}
        for direction, count in tokens.items():
            self._metrics.tokens.labels(direction).inc(count)
        first = self._first_token_at
        self._log.info(
            "a turn has ended",
            outcome=end.status,
            code=end.code,
            seconds=round(seconds, 3),
            first_token_seconds=None if first is None else round(first - self._began, 3),
            input_tokens=tokens["input"],
            output_tokens=tokens["output"],
        )


_COUNTED = {"input": "prompt_tokens", "output": "completion_tokens"}


def _count(usage: dict[str, Any] | None, field: str) -> int:
    count = (usage or {}).get(field)
    return count if isinstance(count, int) and count > 0 else 0
