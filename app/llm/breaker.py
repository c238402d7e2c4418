"""A passive circuit breaker: it learns from the requests that are made anyway, and has no timer."""

from collections.abc import Callable
from typing import Literal

_FAILURES = 3
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 60.0


class Breaker:
    """Three failures in a row open it. Then one probe a cooldown may pass, until a request succeeds.

    1. `begin` tells whether the request is the probe. Only a failed probe starts the next cooldown.
    2. A request that began before the breaker opened proves nothing new if it fails; if it succeeds, it
       closes the breaker.
    3. A probe that neither fails nor succeeds (its turn is stopped) makes room for the next request.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._cooldown = 0.0
        self._until = 0.0
        self._state: Literal["closed", "open", "probing"] = "closed"

    @property
    def is_open(self) -> bool:
        """Whether requests are kept off, but for the probe."""
        return self._state != "closed"

    @property
    def is_passable(self) -> bool:
        """Whether a request may be made now."""
        return self._state == "closed" or self._is_due

    def begin(self) -> bool:
        """Note that a request is made; return whether it is the probe."""
        if self._is_due:
            self._state = "probing"
            return True
        return False

    def succeed(self) -> None:
        """Close it: a first token has come."""
        self._failures, self._cooldown, self._state = 0, 0.0, "closed"

    def fail(self, *, is_probe: bool) -> None:
        """Count a failure before content."""
        if self._state == "closed":
            self._failures += 1
        if (is_probe and self._state == "probing") or (
            self._state == "closed" and self._failures >= _FAILURES
        ):
            self._cooldown = min(2 * self._cooldown or _FIRST_SECONDS, _LONGEST_SECONDS)
            self._until = self._clock() + self._cooldown
            self._state = "open"

    def give_up(self, *, is_probe: bool) -> None:
        """Note that a request ended without telling anything about the backend."""
        if is_probe and self._state == "probing":
            self._state = "open"

    @property
    def _is_due(self) -> bool:
        return self._state == "open" and self._clock() >= self._until
