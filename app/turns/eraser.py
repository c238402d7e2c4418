"""Erases what is kept of conversations, their running turns too."""

from app.errors import ConversationDeleted
from app.models import TurnEnd
from app.store.faults import request_deadline
from app.store.history import HistoryRepository
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.turns.local_turns import LocalTurns

_DELETED = TurnEnd.from_error(ConversationDeleted(), "interrupted")


class ConversationEraser:
    """Erases conversations.

    Every method raises HistoryUnavailable where Redis does not do its part in time, and can be called again.
    """

    def __init__(
        self,
        turns: LocalTurns,
        *,
        history: HistoryRepository,
        journal: TurnJournal,
        index: LeaseIndex,
    ) -> None:
        self._turns = turns
        self._history = history
        self._journal = journal
        self._index = index

    async def delete_conversation(self, user_id: str, conversation_id: str) -> None:
        """Erase a conversation, its running turn and what is kept of its turns."""
        async with request_deadline():
            while True:
                turn_ids, running_id = await self._history.turn_ids(user_id, conversation_id)
                # First: what is left of a deletion that fails half-way is found again by the next one.
                await self._journal.erase(turn_ids, _DELETED)
                for turn_id in turn_ids:
                    if (generation := self._turns.get(turn_id)) is not None:
                        generation.on_lease_lost(_DELETED)
                is_done = await self._history.delete(user_id, conversation_id, running_id, _DELETED)
                await self._index.forget(*turn_ids)
                if is_done:
                    return

    async def delete_user(self, user_id: str) -> None:
        """Erase all text that is kept about a user."""
        async with request_deadline():
            conversation_ids = await self._history.conversation_ids(user_id)
        for conversation_id in conversation_ids:
            await self.delete_conversation(user_id, conversation_id)
