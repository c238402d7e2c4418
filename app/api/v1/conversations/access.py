"""Conversations by id, for those who may see them."""

from typing import Any

from app.errors import ConversationNotFound
from app.models import Viewer
from app.responses.ids import is_conversation_id
from app.service import Service
from app.store.conversation_items import StoredConversation
from app.store.faults import request_deadline


async def own_conversation(
    service: Service, viewer: Viewer, conversation_id: str, *, param: str | None = None
) -> StoredConversation:
    """Read a conversation of the viewer.

    Raises:
        ConversationNotFound: There is none with this id, or it is not the viewer's own.
    """
    if is_conversation_id(conversation_id):
        async with request_deadline():
            found = await service.items.read(conversation_id)
        if found is not None and viewer.may_see(found.user_id, found.scope):
            return found
    raise ConversationNotFound(param=param)


def body_of(conversation: StoredConversation) -> dict[str, Any]:
    """Return a conversation as OpenAI's API has it."""
    return {
        "id": conversation.conversation_id,
        "object": "conversation",
        "created_at": conversation.created_at,
        "metadata": conversation.metadata,
    }
