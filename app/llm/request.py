"""One request for a completion, as the service would send it to a backend that takes everything."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

Added = Literal["system", "max_tokens", "stream_options"]

_MAX_CHOICES = 128
"""The most that OpenAI's API takes."""

EVERYTHING_ADDED: frozenset[Added] = frozenset({"system", "max_tokens", "stream_options"})


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and which part of it the service added on its own."""

    model: str
    messages: list[dict[str, Any]]
    max_tokens: int | None
    """The cap on the answer's tokens; None: the client sent none, and the service adds none."""
    sampling: dict[str, Any]
    """The rest of the body, as the client sent it."""
    added: frozenset[Added] = EVERYTHING_ADDED
    """What the client did not ask for: the system messages, the cap, `stream_options`.

    Only this may be changed for a backend that does not take it. What the client sent is its own business.
    """

    is_streamed: bool = True
    """Whether the backend is asked for a stream; otherwise its one JSON is relayed as it is."""
    longest_answer: int = 0
    """How many tokens an answer may have if the request has no cap: what is read is in proportion to it."""

    affinity: str = ""
    """What requests share that should go to the same backend, whose cache is warm; not sent to it."""

    @property
    def bound(self) -> int:
        """The number of tokens to which what is read of the answer is in proportion."""
        return (self.max_tokens or self.longest_answer) * self.choices

    @property
    def choices(self) -> int:
        """The number of answers that the client asks for at once."""
        n = self.sampling.get("n")
        return min(max(n, 1), _MAX_CHOICES) if isinstance(n, int) else 1

    def body(self) -> dict[str, Any]:
        """Return the body as OpenAI's `POST /chat/completions` takes it. Usage is always asked for."""
        return {
            **self.sampling,
            "model": self.model,
            "messages": self.messages,
            **({"max_tokens": self.max_tokens} if self.max_tokens is not None else {}),
            **self._stream_fields(),
        }

    def _stream_fields(self) -> dict[str, Any]:
        if not self.is_streamed:
            return {"stream": False}
        return {
            "stream": True,
            "stream_options": {**(self.sampling.get("stream_options") or {}), "include_usage": True},
        }

    def texts(self) -> Iterator[str]:
        """Return what a user may have written: messages, plain or in parts, and words such as `stop`."""
        for message in self.messages:
            yield from _texts_of(message)
        for value in self.sampling.values():
            yield from _strings(value)


def _texts_of(message: dict[str, Any]) -> Iterator[str]:
    """Return the texts of a message, and the arguments of its tool calls; images and the like are none."""
    for name in ("content", "refusal", "reasoning", "reasoning_content"):
        yield from _strings(message.get(name))
    calls = message.get("tool_calls")
    functions = [_field(call, "function") for call in calls] if isinstance(calls, list) else []
    for function in (*functions, message.get("function_call")):
        yield from _strings(_field(function, "arguments"))


def _strings(value: Any) -> Iterator[str]:
    """Return a text, or the texts of a list, whose parts may be objects with a `text`."""
    for part in value if isinstance(value, list) else [value]:
        if isinstance(text := part if isinstance(part, str) else _field(part, "text"), str):
            yield text


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
