"""A passive circuit breaker: it learns from the requests that are made anyway, and has no timer."""

from collections.abc import Callable
from typing import Literal

_FAILURES = 3
_FIRST_SECONDS, _LONGEST_SECONDS = 5.0, 60.0

State = Literal["closed", "open", "probing"]


class Breaker:
    """Three failures in a row open it; then one probe a cooldown is let through, until one succeeds.

    1. `begin` tells whether the request is the probe. Only the probe can open the breaker again.
    2. Requests that began before it opened say nothing new if they fail, and close it if they succeed.
    3. A probe that neither fails nor succeeds (its turn is stopped) leaves its place to the next request.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._cooldown = 0.0
        self._until = 0.0
        self.state: State = "closed"

    @property
    def is_passable(self) -> bool:
        """Whether a request may be made now."""
        return self.state == "closed" or (self.state == "open" and self._clock() >= self._until)

    def begin(self) -> bool:
        """Note that a request is made; return whether it is the probe."""
        if self.state == "open" and self._clock() >= self._until:
            self.state = "probing"
            return True
        return False

    def succeed(self) -> None:
        """Close it: a first token has come."""
        self._failures, self._cooldown, self.state = 0, 0.0, "closed"

    def fail(self, *, is_probe: bool) -> None:
        """Count a failure before content."""
        if self.state == "closed":
            self._failures += 1
        if (is_probe and self.state == "probing") or (self.state == "closed" and self._failures >= _FAILURES):
            self._cooldown = min(2 * self._cooldown or _FIRST_SECONDS, _LONGEST_SECONDS)
            self._until = self._clock() + self._cooldown
            self.state = "open"

    def give_up(self, *, is_probe: bool) -> None:
        """Note that a request ended without telling anything of the backend."""
        if is_probe and self.state == "probing":
            self.state = "open"
