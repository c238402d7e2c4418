"""A position in a turn's stream, as clients name it: `Last-Event-ID`."""

import re
from typing import Literal

from fastapi import Request

from app.api.headers import headers_of
from app.errors import InvalidLastEventId

_QUERIES = ("last_event_id", "lastEventId", "Last-Event-ID")
LAST_EVENT_ID_PARAMETERS = [
    {"name": "last_event_id", "in": "query", "required": False, "schema": {"type": "string", "default": ""}},
    {"name": "Last-Event-ID", "in": "header", "required": False, "schema": {"type": "string", "default": ""}},
]
"""The parameters of OpenAPI that `last_event_id_of` reads."""
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


def last_event_id_of(request: Request) -> str:
    """Return the header or, if there is none, the query that a polyfill sends in its place."""
    header = headers_of(request.scope).get("last-event-id", "")
    if header or not request.scope["query_string"]:
        return header
    return next(filter(None, (request.query_params.get(name) for name in _QUERIES)), "")
