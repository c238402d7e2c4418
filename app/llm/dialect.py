"""What a backend does not take, learnt from what it rejects."""

import re
from dataclasses import dataclass, replace
from typing import Any

from app.llm.failures import Rejection

GUESSED_NAME = "max_completion_tokens"
"""OpenAI's newer name for `max_tokens`."""

_UNKNOWN = re.compile(
    r"max_completion_tokens|un(supported|recognized|known|expected)|not (supported|permitted|allowed)|extra",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a request has to be written for one model."""

    takes_stream_options: bool = True
    takes_max_tokens: bool = True

    def write(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request's body as this backend takes it."""
        body = dict(body)
        if not self.takes_stream_options:
            body.pop("stream_options", None)
        if not self.takes_max_tokens:
            body[GUESSED_NAME] = body.pop("max_tokens")
        return body

    def after_rejection(self, rejection: Rejection) -> "Dialect | None":
        """The dialect to try next, or None where it was rejected for another reason.

        It is a guess, to be remembered only if the backend then takes the request. A rejected value of
        `max_tokens` is no rejected name: a backend that ignores the other name would answer without a cap.
        """
        text = rejection.text
        if self.takes_stream_options and re.search(r"\bstream_options\b", text):
            return replace(self, takes_stream_options=False)
        if self.takes_max_tokens and re.search(r"\bmax_tokens\b", text) and _UNKNOWN.search(text):
            return replace(self, takes_max_tokens=False)
        return None
