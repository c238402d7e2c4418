"""Keeps how the response of a turn has ended, for its owner and for a process that finds the owner dead."""

import asyncio
from collections.abc import Sequence

import msgspec

from app.models import TurnEnd, TurnRecord
from app.responses.ids import is_conversation_id
from app.responses.input import question_and_answer
from app.responses.projection import NO_EVENTS, ResponseProjection
from app.responses.record import ResponseRecord, response_of
from app.store.responses import ResponseRepository

_CHUNKS_AT_ONCE = 200
"""After so many chunks other tasks get their turn."""

_encode = msgspec.json.Encoder().encode


class ResponseKeeper:
    """Stores responses when their turns end.

    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(self, responses: ResponseRepository) -> None:
        self._responses = responses

    async def with_response(self, record: TurnRecord) -> TurnRecord:
        """Return the record of a turn of which only its lease is known, with its response."""
        stored = await self._responses.read(record.turn_id)
        return record if stored is None else msgspec.structs.replace(record, response=stored.request)

    async def keep(self, record: TurnRecord, events: Sequence[bytes], end: TurnEnd) -> None:
        """Store the response as it has ended, if the turn is one of a response. The first end stays."""
        response = response_of(record)
        if response is None:
            return
        if not response.request.is_stored:
            await self._responses.finish(record.turn_id, None)
            return
        projection = await fold(response, events)
        projection.close(end)
        # What repeats the request is stored with the request.
        result = {
            name: value for name, value in projection.response().items() if name not in response.request.echo
        }
        await self._responses.finish(record.turn_id, _encode(result))

    async def keep_by_id(self, turn_id: str, events: Sequence[bytes], end: TurnEnd) -> None:
        """Store the response of a turn of which only the id is known."""
        if (stored := await self._responses.read(turn_id)) is not None:
            await self.keep(stored.record, events, end)

    async def items(
        self, record: TurnRecord, answer: str, events: Sequence[bytes], end: TurnEnd
    ) -> list[bytes]:
        """Return what the turn adds to a conversation of `/v1`: an id and a text for each item."""
        if not is_conversation_id(record.history_id):
            return []
        response = response_of(record)
        if response is None:
            items = question_and_answer(record.turn_id, record.message, answer)
        else:
            projection = await fold(response, events)
            projection.close(end)
            items = [*response.input_items, *projection.output()]
        return [part for item in items for part in (item["id"].encode(), _encode(item))]

    async def discard(self, record: TurnRecord) -> None:
        """Remove what is kept of a turn that never began."""
        if record.response is not None:
            await self._responses.discard(record.user_id, [record.turn_id])


async def fold(response: ResponseRecord, events: Sequence[bytes]) -> ResponseProjection:
    """Fold a turn's events for the response alone."""
    projection = ResponseProjection(response, after=NO_EVENTS)
    projection.open()
    for number, event in enumerate(events, 1):
        projection.feed(event)
        if number % _CHUNKS_AT_ONCE == 0:
            await asyncio.sleep(0)
    return projection
