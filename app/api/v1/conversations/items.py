"""Adds, lists, reads and deletes the items of conversations."""

from typing import Any

import msgspec

from app.clock import now_rfc3339
from app.errors import ConversationNotFound
from app.models import AssistantMessage, Message, UserMessage
from app.responses.errors import ItemNotFound
from app.responses.ids import input_item_id, new_batch_id, place_of_item
from app.responses.input import text_of
from app.responses.record import Item
from app.service import Service
from app.store.conversation_items import MessageOfItem, StoredConversation


async def add_items(service: Service, conversation: StoredConversation, items: list[Item]) -> list[Item]:
    """Append items that a client has sent, and return them with their ids.

    Raises:
        ConversationNotFound: The conversation was deleted meanwhile.
    """
    batch_id = new_batch_id()
    named = [{"id": input_item_id(item["type"], batch_id, index), **item} for index, item in enumerate(items)]
    texts = [part for item in named for part in (item["id"].encode(), msgspec.json.encode(item))]
    messages = [message for item in named if (message := _message(item, batch_id)) is not None]
    is_done = await service.items.add(conversation.user_id, conversation.conversation_id, texts, messages)
    if not is_done:
        raise ConversationNotFound
    return named


async def delete_item(service: Service, conversation: StoredConversation, item_id: str) -> None:
    """Delete an item, and what it says from the history.

    Raises:
        ItemNotFound: There is no such item.
    """
    user_id, conversation_id = conversation.user_id, conversation.conversation_id
    text = await service.items.item(user_id, conversation_id, item_id)
    if text is None:
        raise ItemNotFound
    item = msgspec.json.decode(text)
    if not await service.items.delete(
        user_id, conversation_id, item_id, await _message_of(service, conversation, item)
    ):
        raise ItemNotFound


async def _message_of(service: Service, conversation: StoredConversation, item: Item) -> MessageOfItem | None:
    """Return the message in which an item stands, with what other items of its turn say there."""
    place = place_of_item(item["id"])
    if place is None or item["type"] != "message" or item["role"] not in ("user", "assistant"):
        return None
    user_id, conversation_id, role = conversation.user_id, conversation.conversation_id, item["role"]
    others: list[Any] = []
    for item_id in await service.items.ids(user_id, conversation_id):
        other = place_of_item(item_id)
        if other is not None and other.turn_id == place.turn_id and item_id != item["id"]:
            found = await service.items.item(user_id, conversation_id, item_id)
            others += [] if found is None else [msgspec.json.decode(found)]
    return MessageOfItem(place.turn_id, role, text_of([item], role), text_of(others, role))


def _message(item: Item, batch_id: str) -> Message | None:
    """Return the message of `/chat` that an item stands for."""
    content = text_of([item], item.get("role", ""))
    if not content.strip():
        return None
    if item["role"] == "user":
        return UserMessage(content, batch_id, now_rfc3339())
    if item["role"] == "assistant":
        return AssistantMessage(content, batch_id, now_rfc3339(), "complete", "")
    return None
