"""The events of a response, made of its turn's chunks and record alone.

The same chunks always make the same bytes: for a reader that has followed from the start, for one that comes
back on another process, and for one that reads the journal after the end.
"""

from typing import Any

import msgspec

from app.llm.finish import is_unset
from app.models import TurnEnd
from app.responses.calls import Calls
from app.responses.delta import Delta, read_delta
from app.responses.ids import output_item_id
from app.responses.output import CallItem, ContentItem, OutputItem, Status
from app.responses.record import Item, ResponseRecord
from app.responses.response import Outcome, outcome_of, response_object

NO_EVENTS = float("inf")
"""A position that no event comes after: for a fold that needs only the response."""

_encode = msgspec.json.Encoder().encode


class ResponseProjection:
    """Folds the chunks of one turn into the events of its response."""

    def __init__(self, record: ResponseRecord, *, after: float = -1) -> None:
        """Begin before the first event.

        Args:
            record: What was asked.
            after: The `sequence_number` of the last event that the reader has; events up to it are not
                encoded.
        """
        self._record = record
        self._after = after
        self._number = -1
        self._frames: list[bytes] = []
        self._items: list[OutputItem] = []
        self._content: ContentItem | None = None
        self._calls = Calls(self._open_call)
        self._call_ids: set[str] = set()
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None
        self._outcome = Outcome("in_progress")

    @property
    def last_number(self) -> int:
        """The `sequence_number` of the last event so far; -1: there is none yet."""
        return self._number

    def open(self) -> bytes:
        """Return the events before the first chunk."""
        if self._record.request.is_background:
            self._outcome = Outcome("queued")
            self._emit("response.created", response=self.response())
            self._emit("response.queued", response=self.response())
            self._outcome = Outcome("in_progress")
        else:
            self._emit("response.created", response=self.response())
        self._emit("response.in_progress", response=self.response())
        return self._taken()

    def feed(self, chunk: bytes) -> bytes:
        """Return the events that a chunk adds."""
        delta = read_delta(chunk)
        if delta.reasoning:
            self._open_content("reasoning").add("reasoning_text", delta.reasoning)
        if delta.text:
            logprobs = delta.logprobs if self._record.request.has_logprobs else ()
            self._open_content("message").add("output_text", delta.text, logprobs)
        if delta.refusal:
            self._open_content("message").add("refusal", delta.refusal)
        for call in delta.calls:
            self._close_content("completed")
            self._calls.add(call)
        self._note_finish(delta)
        self._usage = delta.usage or self._usage
        return self._taken()

    def close(self, end: TurnEnd) -> bytes:
        """Return the events that end the response."""
        self._outcome = outcome_of(end, self._finish_reason)
        status: Status = "completed" if self._outcome.status == "completed" else "incomplete"
        self._close_content(status)
        self._calls.close(status)
        if (error := self._outcome.error) is not None:
            # OpenAI's SDKs look for the fields in either place.
            detail = {"type": error["code"], **error, "param": None}
            self._emit("error", **error, param=None, error=detail)
        self._emit(self._outcome.event, response=self.response())
        return self._taken()

    def response(self) -> dict[str, Any]:
        """Return the response as it stands."""
        return response_object(self._record, self._outcome, output=self.output(), usage=self._usage)

    def output(self) -> list[Item]:
        """Return the items of the output as they stand."""
        return [item.item() for item in self._items]

    def _open_content(self, kind: Any) -> ContentItem:
        """Return the open item of this kind; what a model thinks and what it says are items of their own."""
        if self._content is not None and self._content.kind == kind:
            return self._content
        self._close_content("completed")
        item_id = output_item_id(kind, self._record.turn_id, len(self._items))
        self._content = ContentItem(kind, item_id, len(self._items), emit=self._emit)
        self._items.append(self._content)
        return self._content

    def _close_content(self, status: Status) -> None:
        if self._content is not None:
            self._content.close(status)
            self._content = None

    def _open_call(self, call_id: str, name: str) -> CallItem:
        index = len(self._items)
        if not call_id or call_id in self._call_ids:
            call_id = f"call_{self._record.turn_id}{index:04x}"  # two calls with one id could not be answered
        self._call_ids.add(call_id)
        item_id = output_item_id("function_call", self._record.turn_id, index)
        item = CallItem(item_id, index, call_id=call_id, name=name, emit=self._emit)
        self._items.append(item)
        return item

    def _note_finish(self, delta: Delta) -> None:
        """Keep the last finish reason that no content has followed."""
        if delta.reasoning or delta.text or delta.refusal or delta.calls:
            self._finish_reason = None
        if delta.finish_reason is not None and not is_unset(delta.finish_reason):
            self._finish_reason = delta.finish_reason

    def _emit(self, kind: str, /, **fields: Any) -> None:
        self._number += 1
        if self._number > self._after:
            data = _encode({"type": kind, "sequence_number": self._number, **fields})
            self._frames.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))

    def _taken(self) -> bytes:
        frames, self._frames = b"".join(self._frames), []
        return frames
