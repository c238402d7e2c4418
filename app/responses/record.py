"""What a response adds to the record of its turn: the request, as the response repeats it, and its input."""

from typing import Any

import msgspec

from app.models import ResponseRequest, TurnRecord
from app.responses.ids import input_item_id

Item = dict[str, Any]


class ResponseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A response's turn, when it was created, and what was asked."""

    turn_id: str
    created_at: int
    request: ResponseRequest

    @property
    def input_items(self) -> list[Item]:
        """The items of the input, with their ids."""
        return [
            {"id": input_item_id(item["type"], self.turn_id, index), **item}
            for index, item in enumerate(self.request.input)
        ]


def response_of(record: TurnRecord) -> ResponseRecord | None:
    """Return what a response adds to the record of a turn, or None if the turn is of another kind."""
    if record.response is None:
        return None
    return ResponseRecord(
        turn_id=record.turn_id, created_at=record.created_ms // 1000, request=record.response
    )
