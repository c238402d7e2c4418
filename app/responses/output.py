"""The items of a response's output, while they grow: each reports its events."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from app.responses.delta import CallDelta
from app.responses.record import Item
from app.responses.surrogates import SurrogateJoiner

Status = Literal["in_progress", "completed", "incomplete"]
PartKind = Literal["output_text", "refusal", "reasoning_text"]


class Emit(Protocol):
    """Takes the events of a response."""

    def __call__(self, kind: str, /, **fields: Any) -> None:
        """Take an event of this type."""


class _Kind(NamedTuple):
    event: str
    """Begins the names of the part's events."""
    field: str
    """The field that holds the part's text."""
    has_logprobs: bool = False


_KINDS: dict[PartKind, _Kind] = {
    "output_text": _Kind("response.output_text", "text", has_logprobs=True),
    "refusal": _Kind("response.refusal", "refusal"),
    "reasoning_text": _Kind("response.reasoning_text", "text"),
}


class _Part:
    """A part of an item's content: text of one kind."""

    def __init__(self, kind: PartKind) -> None:
        self.kind = kind
        self.joiner = SurrogateJoiner()
        self._texts: list[str] = []
        self._logprobs: list[dict[str, Any]] = []

    def add(self, text: str, logprobs: Sequence[dict[str, Any]]) -> None:
        self._texts.append(text)
        self._logprobs += logprobs

    def final(self) -> dict[str, Any]:
        """Return the fields with which the part's `done` event repeats it."""
        kind = _KINDS[self.kind]
        extra = {"logprobs": self._logprobs} if kind.has_logprobs else {}
        return {kind.field: "".join(self._texts), **extra}

    def content(self) -> dict[str, Any]:
        extra: dict[str, Any] = {"annotations": []} if self.kind == "output_text" else {}
        return {"type": self.kind, **self.final(), **extra}


class ContentItem:
    """A message or what the model thinks: an item whose content is text."""

    def __init__(
        self, kind: Literal["message", "reasoning"], item_id: str, index: int, *, emit: Emit
    ) -> None:
        self.kind = kind
        self._id = item_id
        self._index = index
        self._emit = emit
        self._parts: list[_Part] = []
        self._status: Status = "in_progress"
        emit("response.output_item.added", output_index=index, item=self.item())

    def add(self, kind: PartKind, text: str, logprobs: Sequence[dict[str, Any]] = ()) -> None:
        """Add text to the open part, or to a new one if that is of another kind."""
        if not self._parts or self._parts[-1].kind != kind:
            self._close_part()
            self._parts.append(_Part(kind))
            self._emit_part("response.content_part.added", part=self._parts[-1].content())
        if text := self._parts[-1].joiner.join(text):
            self._add(text, logprobs)

    def close(self, status: Status) -> None:
        """End the item."""
        self._close_part()
        self._status = status
        self._emit("response.output_item.done", output_index=self._index, item=self.item())

    def item(self) -> Item:
        """Return the item as it stands."""
        content = [part.content() for part in self._parts]
        common = {"id": self._id, "type": self.kind, "status": self._status}
        if self.kind == "message":
            return {**common, "role": "assistant", "content": content}
        return {**common, "summary": [], "content": content}

    def _add(self, text: str, logprobs: Sequence[dict[str, Any]]) -> None:
        part = self._parts[-1]
        part.add(text, logprobs)
        kind = _KINDS[part.kind]
        extra = {"logprobs": logprobs} if kind.has_logprobs else {}
        self._emit_part(f"{kind.event}.delta", delta=text, **extra)

    def _close_part(self) -> None:
        if not self._parts:
            return
        part = self._parts[-1]
        if rest := part.joiner.rest():
            self._add(rest, ())
        self._emit_part(f"{_KINDS[part.kind].event}.done", **part.final())
        self._emit_part("response.content_part.done", part=part.content())

    def _emit_part(self, kind: str, **fields: Any) -> None:
        self._emit(
            kind,
            item_id=self._id,
            output_index=self._index,
            content_index=len(self._parts) - 1,
            **fields,
        )


class CallItem:
    """A call of one of the client's functions."""

    def __init__(self, item_id: str, index: int, *, call_id: str, name: str, emit: Emit) -> None:
        self._id = item_id
        self._index = index
        self._call_id = call_id
        self._name = name
        self._emit = emit
        self._joiner = SurrogateJoiner()
        self._arguments: list[str] = []
        self._status: Status = "in_progress"
        emit("response.output_item.added", output_index=index, item=self.item())

    def add(self, delta: CallDelta) -> None:
        """Add a part of the arguments."""
        if arguments := self._joiner.join(delta.arguments):
            self._add(arguments)

    def close(self, status: Status) -> None:
        """End the call."""
        if rest := self._joiner.rest():
            self._add(rest)
        self._emit(
            "response.function_call_arguments.done",
            item_id=self._id,
            output_index=self._index,
            name=self._name,
            arguments="".join(self._arguments),
        )
        self._status = status
        self._emit("response.output_item.done", output_index=self._index, item=self.item())

    def item(self) -> Item:
        """Return the item as it stands."""
        return {
            "id": self._id,
            "type": "function_call",
            "status": self._status,
            "call_id": self._call_id,
            "name": self._name,
            "arguments": "".join(self._arguments),
        }

    def _add(self, arguments: str) -> None:
        self._arguments.append(arguments)
        self._emit(
            "response.function_call_arguments.delta",
            item_id=self._id,
            output_index=self._index,
            delta=arguments,
        )


OutputItem = ContentItem | CallItem
