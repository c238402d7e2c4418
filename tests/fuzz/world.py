"""What a target works with, and what it reports to."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something that takes input from outside.

    Attributes:
        name: For the report.
        fuzz: Goes on until the world's time is over.
        settings: The service's, besides those that every target needs.
    """

    name: str
    fuzz: Callable[[World], Coroutine[Any, Any, None]]
    settings: Mapping[str, object] = field(default_factory=dict)
