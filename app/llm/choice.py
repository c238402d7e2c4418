"""Which backend is asked first: pure functions of names, weights, priorities and loads."""

import math
from collections.abc import Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Protocol, TypeVar

_LOAD_BOUND = 1.25
"""How much more than the mean of its equals a backend may run before a request goes to the next one."""


class Candidate(Protocol):
    """A backend, as far as the choice looks at it."""

    @property
    def name(self) -> str:
        """The name that the hash is made of."""

    @property
    def weight(self) -> float:
        """Its share of the load, in proportion to its equals."""

    @property
    def priority(self) -> int:
        """Lower numbers come first."""

    @property
    def running(self) -> int:
        """How many requests of this process it works on."""


C = TypeVar("C", bound=Candidate)


def in_order(candidates: Sequence[C], affinity: str) -> list[C]:
    """Sort backends in the order in which they are asked.

    Priority comes first. Among equals the highest score wins (weighted rendezvous hashing): if a backend
    goes, only its own conversations move. Those that run more than their share come after their equals.
    """
    ordered: list[C] = []
    for _, group in groupby(sorted(candidates, key=lambda each: each.priority), lambda each: each.priority):
        equals = sorted(group, key=lambda each: _score(each, affinity), reverse=True)
        total = sum(each.running for each in equals) + 1
        weights = sum(each.weight for each in equals)
        ordered += sorted(
            equals, key=lambda each: each.running >= math.ceil(_LOAD_BOUND * total * each.weight / weights)
        )
    return ordered


def _score(candidate: Candidate, affinity: str) -> float:
    digest = blake2b(f"{candidate.name}\n{affinity}".encode(), digest_size=8).digest()
    part = (int.from_bytes(digest) + 0.5) / 2**64
    return candidate.weight / -math.log(part) if part < 1 else math.inf
