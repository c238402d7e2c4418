"""Items that a request names by their ids instead of sending them again."""

from typing import Any

import msgspec

from app.api.v1.responses.access import ended, own_response, record_of
from app.errors import ContextLengthExceeded
from app.models import Viewer
from app.responses.errors import ItemNotFound, ResponseNotFound
from app.responses.ids import place_of_item, response_id
from app.responses.record import Item
from app.service import Service
from app.store.conversation_items import StoredConversation
from app.store.faults import request_deadline
from app.store.responses import StoredResponse


async def resolved(
    service: Service, viewer: Viewer, given: object, conversation: StoredConversation | None
) -> object:
    """Return an input with the items that its references name.

    Raises:
        ItemNotFound: The viewer has no such item.
        ContextLengthExceeded: The items are larger together than a request may be.
    """
    if not isinstance(given, list) or not any(map(_is_reference, given)):
        return given
    named = _NamedItems(service, viewer, conversation)
    async with request_deadline():
        return [await named.item(item["id"]) if _is_reference(item) else item for item in given]


def _is_reference(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and item.get("type") in ("item_reference", None)
        and isinstance(item.get("id"), str)
        and "role" not in item
    )


class _NamedItems:
    """The items that one request names. Each is counted as often as it is named."""

    def __init__(self, service: Service, viewer: Viewer, conversation: StoredConversation | None) -> None:
        self._service = service
        self._viewer = viewer
        self._conversation = conversation
        self._bytes_left = service.settings.v1_max_body_bytes
        self._responses: dict[str, list[Item]] = {}
        self._found: dict[str, tuple[Item, int]] = {}

    async def item(self, item_id: str) -> Item:
        if item_id not in self._found:
            item = await self._in_response(item_id) or await self._in_conversation(item_id)
            if item is None:
                raise ItemNotFound(f"There is no item {item_id[:100]!r}.", param="input")
            self._found[item_id] = item, len(msgspec.json.encode(item))
        item, size = self._found[item_id]
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise ContextLengthExceeded("The items that the input names are too long.", param="input")
        return item

    async def _in_response(self, item_id: str) -> Item | None:
        place = place_of_item(item_id)
        if place is None:
            return None
        if place.turn_id not in self._responses:
            try:
                stored = await own_response(self._service, self._viewer, response_id(place.turn_id))
            except ResponseNotFound:
                self._responses[place.turn_id] = []
            else:
                self._responses[place.turn_id] = _items_of(stored)
        return next((item for item in self._responses[place.turn_id] if item["id"] == item_id), None)

    async def _in_conversation(self, item_id: str) -> Item | None:
        if self._conversation is None:
            return None
        user_id, conversation_id = self._conversation.user_id, self._conversation.conversation_id
        found = await self._service.items.item(user_id, conversation_id, item_id)
        return None if found is None else dict(msgspec.json.decode(found))


def _items_of(stored: StoredResponse) -> list[Item]:
    response = ended(stored)
    return [*record_of(stored).input_items, *(response["output"] if response is not None else ())]
