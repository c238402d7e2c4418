"""The deadlines of one answer. They are set on content: a comment or an empty chunk moves none of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from app.errors import UpstreamTimeout
from app.timer import LazyTimer

AFTER_FINISH_SECONDS = 2.0
"""How long to wait for usage or `[DONE]` after the last content of a finished answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeLimits:
    """Seconds."""

    connect: float
    first_token: float
    token_gap: float
    total: float


class Deadlines:
    """The times by which something has to arrive, in the event loop's time."""

    def __init__(self, limits: TimeLimits, now: float) -> None:
        self._limits = limits
        self._total = now + limits.total
        self._next_content = now + limits.first_token
        self._any_content = False
        self._finished: float | None = None
        self._was_disproved = False
        self._scope = anyio.CancelScope()
        self._timer = LazyTimer(lambda: self.next, self._scope.cancel)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Cancel what is done here as soon as a deadline passes; once for each answer.

        Raises:
            UpstreamTimeout: A deadline has passed, and the answer was not whole.
        """
        with self._scope:
            self._timer.start()
            try:
                yield
            finally:
                self._timer.cancel()
        if self._scope.cancelled_caught and not self._is_whole:
            raise self._error()

    @property
    def next(self) -> float:
        """The time at which the next deadline passes."""
        if self._finished is None:
            return min(self._next_content, self._total)
        after_finish = self._finished + AFTER_FINISH_SECONDS
        # A backend that writes a finish reason into every chunk would never meet the total otherwise.
        return min(after_finish, self._total) if self._was_disproved else after_finish

    def content_arrived(self, now: float) -> None:
        """Give the next content its full gap again."""
        self._next_content = now + self._limits.token_gap
        if not self._any_content:
            self._any_content = True
            # A gap may be over before the time that the first content had.
            self._timer.start()

    def answer_finished(self, now: float) -> None:
        """Wait only for usage and `[DONE]` from now on."""
        if self._finished is None:
            self._finished = now
            self._timer.start()

    def finish_disproved(self) -> None:
        """Wait for content again: some has come after the finish reason."""
        self._finished = None
        self._was_disproved = True

    @property
    def _is_whole(self) -> bool:
        """Whether the deadline that passed was the wait after the finish."""
        if self._finished is None:
            return False
        return not self._was_disproved or self._finished + AFTER_FINISH_SECONDS <= self._total

    def _error(self) -> UpstreamTimeout:
        if self._total <= self._next_content:
            return UpstreamTimeout(f"The answer took longer than {self._limits.total:g} seconds.")
        if self._any_content:
            return UpstreamTimeout(f"The model's backend was silent for {self._limits.token_gap:g} seconds.")
        return UpstreamTimeout(
            f"The model's backend sent no token within {self._limits.first_token:g} seconds."
        )
