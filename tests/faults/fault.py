"""A row of `docs/faults.md`: what goes wrong, when, and with which result."""

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
    """Ask, and read to the end: the client's act if the fault is elsewhere."""
    return await lab.ask()


@dataclass(frozen=True, slots=True)
class Fault:
    """A case of the suite. Its texts are asserted, and they are the row of the table."""

    group: Literal["backend", "backends", "store", "client"]
    name: str
    phase: str
    sees: str
    """What the client sees, in the words of `Lab.ask`."""
    stored: str
    """What is stored, in the words of `Lab.stored`."""
    answers: tuple[Script, ...] = (says("Hello"),)
    """The backend's answers, one for each attempt; the last one repeats."""
    act: Act = ask
    """Makes the fault happen, and returns what the client sees."""
    asked: int = 1
    """How often the backend is asked."""
    settings: Mapping[str, object] = field(default_factory=dict)
    second: tuple[Script, ...] = ()
    """The answers of a second backend, which is asked if the first one fails; empty: there is none."""
    asked_second: int = 0
    """How often the second backend is asked."""
    has_replica: bool = False
    """Whether a second process of the service runs."""

    def __str__(self) -> str:
        return f"{self.phase}: {self.name}"

    @property
    def full_name(self) -> str:
        """The name of this fault among all faults."""
        return f"{self.group}: {self}"
