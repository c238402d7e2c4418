"""What attempts to start, renew and close turns come to."""

from typing import Literal, NamedTuple

from app.models import TurnEnd
from app.quota import Quota
from app.store.history import RawBlock


class AdmissionResult(NamedTuple):
    """The outcome of an attempt to start a turn; `turn_id` is the other turn, if there is one."""

    outcome: Literal["started", "attached", "reused", "busy", "lapsed", "interrupting"]
    turn_id: str = ""
    quota: Quota | None = None
    """What the user may still start, if that is limited."""
    history: RawBlock | None = None
    """The newest messages of the conversation, if they were asked for."""


class UserLimits(NamedTuple):
    """How much a user may have, over all replicas; 0: any number."""

    at_once: int
    per_minute: int
    conversations: int = 0

    def quota(self, started: int, left_ms: int) -> Quota | None:
        """Return what is left of a minute that ends in `left_ms`."""
        if not self.per_minute:
            return None
        return Quota(self.per_minute, 60, self.per_minute - started, max(1, -(-left_ms // 1000)))


class Lease(NamedTuple):
    """The state of a turn, as a renewal of its lease found it."""

    outcome: Literal["held", "closed", "lost", "unknown"]
    stop: str = ""
    """Why the turn is to stop; empty: it is not."""
    has_remote_reader: bool = False
    end: TurnEnd | None = None
    """How another process closed it."""


class CloseResult(NamedTuple):
    """The outcome of an attempt to close a turn."""

    outcome: Literal["closed", "closed before", "alive", "lost"]
    end: TurnEnd | None = None
    """How it was closed, by this attempt or an earlier one."""
