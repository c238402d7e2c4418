"""The metrics for Prometheus. No label names a user, a turn or a conversation."""

from collections.abc import Callable, Iterable
from functools import cache, partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from app.observability.histogram import LoopHistogram

_FIRST_TOKEN_BUCKETS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_GAP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)
_TURN_BUCKETS = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The metrics of one application, in a registry of their own. Times are in seconds.

    The series of a turn's labels are looked up once: prometheus_client's look-up costs more than counting.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.turns = Counter(
            "chat_turns",
            "Turns that have ended, by outcome and, if they failed, by error code.",
            ["outcome", "code"],
            registry=self.registry,
        )
        self.turn_seconds = LoopHistogram(
            "chat_turn_duration_seconds",
            "Time from the start of a turn until it is stored.",
            registry=self.registry,
            buckets=_TURN_BUCKETS,
        )
        self.first_token_seconds = LoopHistogram(
            "chat_time_to_first_token_seconds",
            "Time from the start of a turn to its first token.",
            registry=self.registry,
            buckets=_FIRST_TOKEN_BUCKETS,
        )
        self.gap_seconds = LoopHistogram(
            "chat_time_between_tokens_seconds",
            "Time between the arrivals of an answer's tokens; tokens that arrive together count as one.",
            registry=self.registry,
            buckets=_GAP_BUCKETS,
        )
        self._turns_by = cache(self.turns.labels)
        self.tokens = Counter(
            "chat_tokens",
            "Tokens of prompts (input) and answers (output), estimated if the backend reports no usage.",
            ["direction"],
            registry=self.registry,
        )
        self._tokens_by = cache(self.tokens.labels)
        self.follows = Counter(
            "chat_follows",
            "Readers that joined a turn which was already started, by the place where it runs.",
            ["place"],
            registry=self.registry,
        )
        self.request_errors = Counter(
            "chat_request_errors",
            "Requests answered with an error, by its code (history_unavailable: Redis, upstream_…: backend).",
            ["code"],
            registry=self.registry,
        )
        attempts = Counter(
            "chat_backend_attempts",
            "Requests to a backend that have ended, by outcome: complete, cancelled or an error's code.",
            ["backend", "outcome"],
            registry=self.registry,
        )
        self._attempts_by = cache(attempts.labels)
        backend_first_token_seconds = Histogram(
            "chat_backend_time_to_first_token_seconds",
            "Time from a request to a backend to its first token.",
            ["backend"],
            registry=self.registry,
            buckets=_FIRST_TOKEN_BUCKETS,
        )
        self._first_token_seconds_of = cache(backend_first_token_seconds.labels)
        self._backend_running = Gauge(
            "chat_backend_running",
            "Requests of this process that a backend works on.",
            ["backend"],
            registry=self.registry,
        )
        self._breaker_open = Gauge(
            "chat_backend_breaker_open",
            "1 after three failures before content in a row, until the next first token; otherwise 0.",
            ["backend", "model"],
            registry=self.registry,
        )
        self.loop_lag_seconds = LoopHistogram(
            "chat_event_loop_lag_seconds",
            "Delay of a timer in the event loop.",
            registry=self.registry,
            buckets=_LAG_BUCKETS,
        )
        self._active_turns = Gauge(
            "chat_active_turns", "Turns running in this process.", registry=self.registry
        )
        self._readers = Gauge("chat_readers", "Streams open in this process.", registry=self.registry)
        self._journal_lag_seconds = Gauge(
            "chat_journal_lag_seconds",
            "Age of the oldest event that is not yet written to its journal.",
            registry=self.registry,
        )

    def turn_ended(
        self, outcome: str, code: str, *, seconds: float, input_tokens: int, output_tokens: int
    ) -> None:
        """Take in a turn that this process has run."""
        self._turns_by(outcome, code).inc()
        self.turn_seconds.observe(seconds)
        self._tokens_by("input").inc(input_tokens)
        self._tokens_by("output").inc(output_tokens)

    def content_began(self, backend: str, seconds: float) -> None:
        """Take in how long a backend's first content took."""
        self._first_token_seconds_of(backend).observe(seconds)

    def attempt_ended(self, backend: str, outcome: str) -> None:
        """Count a request to a backend by its outcome."""
        self._attempts_by(backend, outcome).inc()

    def watch_backend(
        self,
        name: str,
        models: Iterable[str],
        *,
        running: Callable[[], float],
        is_open: Callable[[str], bool],
    ) -> None:
        """Read these gauges of a backend, and of its breaker for each model, at each scrape."""
        self._backend_running.labels(name).set_function(running)
        for model in models:
            self._breaker_open.labels(name, model).set_function(partial(is_open, model))

    def watch(
        self,
        *,
        active_turns: Callable[[], float],
        readers: Callable[[], float],
        journal_lag_seconds: Callable[[], float],
    ) -> None:
        """Read these gauges from the functions at each scrape."""
        self._active_turns.set_function(active_turns)
        self._readers.set_function(readers)
        self._journal_lag_seconds.set_function(journal_lag_seconds)
