"""The question. Its text tells the fake backend how to answer, through every proxy."""

import re
from dataclasses import dataclass

_PATTERN = re.compile(rb"tokens=(\d+) rate=(\d+) stamped=([01])")
_FILLER = (
    "Please tell me at length how a streaming answer comes to its reader, and what may happen on the way. "
)
MARK = b"tokens="


@dataclass(frozen=True, slots=True)
class Question:
    """A request for an answer of `tokens` tokens."""

    tokens: int
    rate: int = 0
    """Tokens per second; 0: as fast as the backend can."""
    stamped: bool = False
    """Whether each token carries the time when it was sent."""

    @property
    def text(self) -> str:
        """The user's message that carries this question."""
        return f"{_FILLER}tokens={self.tokens} rate={self.rate} stamped={self.stamped:d}"

    @classmethod
    def parse(cls, body: bytes) -> "Question":
        """Find the question in the body of a request; the last message counts."""
        found = _PATTERN.match(body, body.rfind(MARK))
        assert found is not None  # only the benchmarks send requests to this backend
        tokens, rate, stamped = (int(group) for group in found.groups())
        return cls(tokens, rate, bool(stamped))
