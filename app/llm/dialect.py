"""What a backend does not take, learnt from its refusals."""

import re
from dataclasses import dataclass, replace
from typing import Any


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
            body["max_completion_tokens"] = body.pop("max_tokens")
        return body

    def after_refusal(self, refusal: str) -> "Dialect | None":
        """The dialect to try next, or None where the refusal was for another reason.

        It is a guess, to be remembered only if the backend then takes the request: some context-length
        refusals also name `max_tokens`.
        """
        if self.takes_stream_options and re.search(r"\bstream_options\b", refusal):
            return replace(self, takes_stream_options=False)
        if self.takes_max_tokens and re.search(r"\bmax_tokens\b", refusal):
            return replace(self, takes_max_tokens=False)
        return None
