"""The deadlines of one answer. They are set on content: a comment or an empty chunk moves none of them."""

from dataclasses import dataclass

from app.errors import UpstreamTimeout

AFTER_FINISH_SECONDS = 2.0
"""How long usage or `[DONE]` is waited for once the answer is whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeLimits:
    """Seconds."""

    connect: float
    first_token: float
    token_gap: float
    total: float


class Deadlines:
    """What the next read has to beat, in the event loop's time."""

    def __init__(self, limits: TimeLimits, now: float) -> None:
        self._limits = limits
        self._total = now + limits.total
        self._next_content = now + limits.first_token
        self._any_content = False
        self._finished: float | None = None

    @property
    def next(self) -> float:
        """When the next read times out."""
        if self._finished is not None:
            return self._finished + AFTER_FINISH_SECONDS
        return min(self._next_content, self._total)

    def content_arrived(self, now: float) -> None:
        """The next content has its full gap again."""
        self._any_content = True
        self._next_content = now + self._limits.token_gap

    def answer_finished(self, now: float) -> None:
        """Only usage and `[DONE]` may still come."""
        self._finished = now

    def error(self) -> UpstreamTimeout:
        """Which deadline it was that passed."""
        if self._total <= self._next_content:
            return UpstreamTimeout(f"The answer took longer than {self._limits.total:g} seconds.")
        if self._any_content:
            return UpstreamTimeout(f"The model's backend was silent for {self._limits.token_gap:g} seconds.")
        return UpstreamTimeout(
            f"The model's backend sent no token within {self._limits.first_token:g} seconds."
        )
