"""A position in a turn's stream, as clients name it: `Last-Event-ID`."""

import re
from typing import Annotated, Literal

from fastapi import Depends, Header, Query

from app.errors import InvalidLastEventId

_POSITION = re.compile(r"end|[1-9][0-9]{0,15}")


def parse_last_event_id(last_event_id: str, turn_id: str) -> int | Literal["end"]:
    """Return the number of the last event that a reader has received.

    Raises:
        InvalidLastEventId: The id is malformed, or belongs to another turn.
    """
    position = _POSITION.fullmatch(last_event_id.rpartition("-")[2])
    if position is None or not belongs_to(last_event_id, turn_id):
        raise InvalidLastEventId(turn_id=turn_id)
    return "end" if position[0] == "end" else int(position[0])


def belongs_to(last_event_id: str, turn_id: str) -> bool:
    """Whether it is an event id of this turn."""
    return last_event_id.rpartition("-")[0] == turn_id


async def _last_event_id(
    header: Annotated[str, Header(alias="Last-Event-ID")] = "",
    snake_case: Annotated[str, Query(alias="last_event_id")] = "",
    camel_case: Annotated[str, Query(alias="lastEventId", include_in_schema=False)] = "",
    header_case: Annotated[str, Query(alias="Last-Event-ID", include_in_schema=False)] = "",
) -> str:
    """Return the header or, if there is none, the query that a polyfill sends in its place."""
    return header or snake_case or camel_case or header_case


LastEventId = Annotated[str, Depends(_last_event_id)]
