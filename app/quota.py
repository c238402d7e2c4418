"""How many turns a user may still start, as the store counts it and the API tells it."""

from typing import NamedTuple


class Quota(NamedTuple):
    """How many turns a user may start in a window of time."""

    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    """Seconds until the next window."""
