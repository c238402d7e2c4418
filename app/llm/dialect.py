"""How a request has to be written for one model, learnt from what its backend refuses."""

import re
from dataclasses import dataclass, replace
from typing import Any

from app.llm.refusals import Refusal
from app.llm.request import CompletionRequest
from app.llm.wordings import CAP_TOO_LARGE, SYSTEM_ROLE, Meaning

_CAP_NAMES = ("max_tokens", "max_completion_tokens")
"""OpenAI's older and newer name for the cap on an answer's tokens."""
_WRONG_NAME = re.compile(
    r"max_completion_tokens' instead|un(?:supported|recognized|known|expected)"
    r"|(?:not|n't) (?:be )?(?:supported|permitted|allowed)|extra|forbidden|removed|deprecated",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a model takes."""

    stream_options: bool = True
    system_role: bool = True
    """Whether there may be system messages; otherwise their text goes before the first user message."""
    cap_name: str = _CAP_NAMES[0]
    largest_cap: int | None = None

    def write(self, request: CompletionRequest) -> dict[str, Any]:
        """Return the request's body as this model takes it."""
        body = request.body()
        if not self.stream_options and "stream_options" in request.added:
            del body["stream_options"]
        if not self.system_role and "system" in request.added:
            body["messages"] = _without_system_role(request.messages)
        cap = body.pop("max_tokens", None)
        if cap is None:
            return body
        if self.largest_cap is not None and "max_tokens" in request.added:
            cap = min(cap, self.largest_cap)
        body[self.cap_name] = cap
        return body

    def after(self, refusal: Refusal, request: CompletionRequest) -> "Dialect | None":
        """Return the dialect to try after a refusal, or None if no other one can help.

        It is a guess, remembered only if the backend then takes the request. The cap is never left out: some
        backends do not notice that a client has gone, and would generate for ever.
        """
        if refusal.meaning in (Meaning.OPERATOR, Meaning.MODEL, Meaning.CONTENT, Meaning.BUSY):
            return None
        text = refusal.text
        if (
            self.system_role
            and "system" in request.added
            and _has_system(request)
            and SYSTEM_ROLE.search(text)
        ):
            return replace(self, system_role=False)
        if refusal.meaning is Meaning.CONTEXT:
            return None
        if (
            self.stream_options
            and "stream_options" in request.added
            and re.search(r"\bstream_options\b", text)
        ):
            return replace(self, stream_options=False)
        return self._with_other_cap(text, request)

    def _with_other_cap(self, text: str, request: CompletionRequest) -> "Dialect | None":
        if "max_tokens" in request.added and (found := CAP_TOO_LARGE.search(text)):
            largest = int(found[1])
            sent = min(request.bound, self.largest_cap or request.bound)
            return replace(self, largest_cap=largest) if 0 < largest < sent else None
        is_first_guess = self.cap_name == _CAP_NAMES[0]
        if is_first_guess and re.search(rf"\b{self.cap_name}\b", text) and _WRONG_NAME.search(text):
            return replace(self, cap_name=_CAP_NAMES[1])
        return None


def _has_system(request: CompletionRequest) -> bool:
    return any(message.get("role") == "system" for message in request.messages)


def _without_system_role(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the system messages' text before the first user message."""
    system = [message["content"] for message in messages if message["role"] == "system"]
    others = [message for message in messages if message["role"] != "system"]
    first = next((at for at, message in enumerate(others) if message["role"] == "user"), None)
    if first is None:
        return others
    others[first] = {**others[first], "content": "\n\n".join([*system, others[first]["content"]])}
    return others
