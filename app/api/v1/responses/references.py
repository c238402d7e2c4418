"""Items that a request names by their ids instead of sending them again."""

from typing import Any

import msgspec

from app.api.v1.responses.access import ended, own_response, record_of
from app.models import Viewer
from app.responses.errors import ItemNotFound, ResponseNotFound
from app.responses.ids import place_of_item, response_id
from app.responses.record import Item
from app.service import Service
from app.store.conversation_items import StoredConversation
from app.store.responses import StoredResponse


async def resolved(
    service: Service, viewer: Viewer, given: object, conversation: StoredConversation | None
) -> object:
    """Return an input with the items that its references name.

    Raises:
        ItemNotFound: The viewer has no such item.
    """
    if not isinstance(given, list) or not any(map(_is_reference, given)):
        return given
    read: dict[str, list[Item]] = {}
    """The items of the responses that were read already."""
    return [
        await _named(service, viewer, item["id"], conversation, read) if _is_reference(item) else item
        for item in given
    ]


def _is_reference(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.get("type") in ("item_reference", None)
        and isinstance(item.get("id"), str)
        and "role" not in item
    )


async def _named(
    service: Service,
    viewer: Viewer,
    item_id: str,
    conversation: StoredConversation | None,
    read: dict[str, list[Item]],
) -> Item:
    place = place_of_item(item_id)
    if place is not None and place.turn_id not in read:
        try:
            stored = await own_response(service, viewer, response_id(place.turn_id))
        except ResponseNotFound:
            read[place.turn_id] = []
        else:
            read[place.turn_id] = _items_of(stored)
    for item in read[place.turn_id] if place is not None else ():
        if item["id"] == item_id:
            return item
    if conversation is not None:
        user_id, conversation_id = conversation.user_id, conversation.conversation_id
        found = await service.items.item(user_id, conversation_id, item_id)
        if found is not None:
            item = msgspec.json.decode(found)
            return dict(item)
    raise ItemNotFound(f"There is no item {item_id[:100]!r}.", param="input")


def _items_of(stored: StoredResponse) -> list[Item]:
    response = ended(stored)
    return [*record_of(stored).input_items, *(response["output"] if response is not None else ())]
