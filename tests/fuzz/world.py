"""What a target works with, and what it reports to."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from tests.support.backend import Backend


@dataclass
class World:
    """A running service, the backend behind it, and the findings so far.

    Attributes:
        port: Where the service listens.
        backend: What the service asks. A target may set its script.
        chance: The source of all that is random; its seed is printed, so that a run can be repeated.
        is_over: Set when the time is over.
        counts: How often what has happened, to print.
        violations: What must not have happened.
    """

    port: int
    backend: Backend
    chance: random.Random
    is_over: asyncio.Event = field(default_factory=asyncio.Event)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
