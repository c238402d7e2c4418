"""One row of `docs/faults.md`: what goes wrong, when, and what comes of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.faults.lab import Lab
from tests.support.backend import Script, says

CONNECT = "connect"
BEFORE_HEAD = "before the head"
BEFORE_EVENT = "before the first event"
MID_ANSWER = "in mid-answer"
AFTER_FINISH = "after the finish_reason"
START = "at the start"
END = "at the end"

NOTHING = "nothing"

Act = Callable[[Lab], Awaitable[str]]


async def ask(lab: Lab) -> str:
    """What a client does where the fault is with somebody else: ask, and read to the end."""
    return await lab.ask()


@dataclass(frozen=True, slots=True)
class Fault:
    """A case of the suite. The texts are what is asserted, and what the table says."""

    group: Literal["backend", "store", "client"]
    name: str
    phase: str
    sees: str
    """As `Lab.ask` tells it."""
    stored: str
    """As `Lab.stored` tells it."""
    answers: tuple[Script, ...] = (says("Hello"),)
    """The backend's, one an attempt; the last one stays."""
    act: Act = ask
    """What is done, and what its client sees."""
    asked: int = 1
    """How often the backend is."""
    settings: Mapping[str, object] = field(default_factory=dict)
    has_replica: bool = False
    """Whether another process of the service is there."""

    def __str__(self) -> str:
        return f"{self.phase}: {self.name}"

    @property
    def full_name(self) -> str:
        """Its name among all faults."""
        return f"{self.group}: {self}"
