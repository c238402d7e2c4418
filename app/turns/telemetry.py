"""What one turn reports: metrics, and a log line at its start and at its end."""

import time
from typing import Any

import structlog
from opentelemetry.trace import get_current_span

from app.llm.backends import Backend
from app.models import TurnEnd, TurnRecord
from app.observability.metrics import Metrics
from app.observability.tracing import describe_backend

_log = structlog.get_logger()


class TurnTelemetry:
    """Reports one turn. It never sees message text."""

    def __init__(self, record: TurnRecord, metrics: Metrics) -> None:
        """Report the start of the turn."""
        self._metrics = metrics
        self._record = record
        self._started_at = time.monotonic()
        self._first_token_at: float | None = None
        self._last_token_at = self._started_at
        self._has_ended = False
        self._backend: str | None = None
        _log.info("turn started", turn_id=record.turn_id, model=record.model)

    def asked(self, backend: Backend) -> None:
        """Note which backend the current span's call asks now. After a failover the last one counts."""
        self._backend = backend.name
        describe_backend(get_current_span(), name=backend.name, url=backend.url)

    def tokens_arrived(self) -> None:
        """Time the content that has just arrived."""
        now = time.monotonic()
        if self._first_token_at is None:
            self._first_token_at = now
            self._metrics.first_token_seconds.observe(now - self._started_at)
        else:
            self._metrics.gap_seconds.observe(now - self._last_token_at)
        self._last_token_at = now

    def ended(self, end: TurnEnd, usage: dict[str, Any] | None) -> None:
        """Report the end that the readers got. Only the first call counts: storing may go on after it."""
        if self._has_ended:
            return
        self._has_ended = True
        seconds = time.monotonic() - self._started_at
        input_tokens, output_tokens = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        self._metrics.turn_ended(
            end.status,
            end.code or "",
            seconds=seconds,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )
        first = self._first_token_at
        _log.info(
            "turn ended",
            turn_id=self._record.turn_id,
            model=self._record.model,
            outcome=end.status,
            code=end.code,
            backend=self._backend,
            seconds=round(seconds, 3),
            first_token_seconds=None if first is None else round(first - self._started_at, 3),
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )


def _count(usage: dict[str, Any] | None, field: str) -> int:
    count = (usage or {}).get(field)
    return count if isinstance(count, int) and count > 0 else 0
