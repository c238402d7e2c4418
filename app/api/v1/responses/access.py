"""Responses by id, for those who may see them, as they stand."""

from typing import Any

import msgspec

from app.errors import TurnExpired, TurnNotFound
from app.models import LOST, Viewer
from app.responses.errors import ResponseNotFound
from app.responses.ids import turn_of_response
from app.responses.record import ResponseRecord, response_of
from app.service import Service
from app.store.faults import request_deadline
from app.store.responses import StoredResponse
from app.turns.response_keeper import fold
from app.turns.stream import Reader


async def own_response(service: Service, viewer: Viewer, response_id: str) -> StoredResponse:
    """Read a response of the viewer.

    Raises:
        ResponseNotFound: There is none with this id, it is not stored, or it is not the viewer's own.
    """
    turn_id = turn_of_response(response_id)
    if turn_id is not None:
        async with request_deadline():
            stored = await service.responses.read(turn_id)
        if (
            stored is not None
            and stored.request.is_stored
            and viewer.may_see(stored.record.user_id, stored.record.scope)
        ):
            return stored
    raise ResponseNotFound


def record_of(stored: StoredResponse) -> ResponseRecord:
    """Return the record of a stored response."""
    record = response_of(stored.record)
    assert record is not None  # the record of a stored response has one
    return record


def ended(stored: StoredResponse) -> dict[str, Any] | None:
    """Return the response as it ended, or None if it runs."""
    if stored.result is None:
        return None
    return {**msgspec.json.decode(stored.result), **stored.request.echo}


async def as_it_stands(service: Service, stored: StoredResponse) -> dict[str, Any]:
    """Return a response, ended or with what has come so far."""
    if (found := ended(stored)) is not None:
        return found
    try:
        reader = await service.directory.follow(stored.record.turn_id)
    except (TurnExpired, TurnNotFound):
        # No process has ended the turn for so long that its journal is gone.
        projection = await fold(record_of(stored), [])
        projection.close(LOST)
        return projection.response()
    with reader:
        return await so_far(record_of(stored), reader)


async def so_far(response: ResponseRecord, reader: Reader) -> dict[str, Any]:
    """Return a response with what has come of its turn, without waiting."""
    end = reader.stream.end
    projection = await fold(response, reader.stream.events.all_after(0))
    if end is not None:
        projection.close(end)
    return projection.response()
