"""The earlier part of a prompt: the chain of responses before a new one, or its conversation."""

from itertools import takewhile

import msgspec

from app.api.v1.responses.access import ended, own_response
from app.errors import ContextLengthExceeded, ValidationFailed
from app.models import TurnRecord, Viewer
from app.prompts.response_items import turn_messages, turns_of
from app.prompts.response_prompts import Turns
from app.responses.errors import PreviousResponseNotFound, ResponseNotFound
from app.responses.ids import turn_of_response
from app.responses.record import Item
from app.service import Service
from app.store.conversation_items import StoredConversation
from app.store.faults import request_deadline
from app.store.responses import StoredResponse

_PARAM = "previous_response_id"
_FILTERED = {"reason": "content_filter"}


async def chain(service: Service, viewer: Viewer, response_id: str) -> Turns:
    """Return the messages of a response and of all before it, a list for each, the oldest first.

    Raises:
        PreviousResponseNotFound: The viewer has no such response.
        ValidationFailed: It still runs.
        ContextLengthExceeded: The chain is longer than any request may be.
    """
    try:
        stored: StoredResponse | None = await own_response(service, viewer, response_id)
    except ResponseNotFound:
        raise PreviousResponseNotFound(param=_PARAM) from None
    if stored is not None and stored.result is None:
        raise ValidationFailed(f"{_PARAM}: expected a response that has ended", param=_PARAM)
    turns: Turns = []
    left = service.settings.v1_max_body_bytes
    async with request_deadline():
        while stored is not None:
            left -= stored.size
            if left < 0:
                raise ContextLengthExceeded("The chain of responses is too long.", param=_PARAM)
            turns.append(turn_messages(stored.request.input, _output(stored)))
            if stored.record.history_id:
                turns += (await _said_before(service, stored.record))[::-1]
            stored = await _before(service, stored)
    return turns[::-1]


async def said_in(service: Service, conversation: StoredConversation) -> Turns:
    """Return the messages of a conversation, a list for each turn, the oldest first."""
    async with request_deadline():
        items = await service.items.every_item(conversation.user_id, conversation.conversation_id)
    return turns_of(map(msgspec.json.decode, items))


async def _said_before(service: Service, record: TurnRecord) -> Turns:
    """Return what was said in a conversation before a turn."""
    items = map(msgspec.json.decode, await service.items.every_item(record.user_id, record.history_id))
    return turns_of(takewhile(lambda item: record.turn_id not in item["id"], items))


async def _before(service: Service, stored: StoredResponse) -> StoredResponse | None:
    """Read the response that another one follows; one that was deleted ends the chain."""
    previous = stored.request.previous_response_id
    turn_id = previous and turn_of_response(previous)
    return await service.responses.read(turn_id) if turn_id else None


def _output(stored: StoredResponse) -> list[Item]:
    """Return what the model answered. With what a filter has cut, the next prompt would be refused, too."""
    response = ended(stored)
    if response is None or response["incomplete_details"] == _FILTERED:
        return []
    output: list[Item] = response["output"]
    return output
