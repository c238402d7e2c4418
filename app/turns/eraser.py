"""Erases what is kept of conversations and responses, their running turns too."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

import structlog

from app.errors import ConversationDeleted
from app.models import TurnEnd, place_without_conversation
from app.responses.ids import is_conversation_id, place_of_item
from app.store.conversation_items import ConversationItems
from app.store.faults import request_deadline
from app.store.history import ErasableTurns, HistoryRepository
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.responses import ResponseRepository
from app.turns.local_turns import LocalTurns

_AT_ONCE = 8
"""How many conversations or responses of a user are erased side by side."""
_DELETED = TurnEnd.from_error(ConversationDeleted(), "interrupted")

_log = structlog.get_logger()


class ConversationEraser:
    """Erases conversations in slices.

    Every slice has a deadline, the whole has none: it ends, however much is kept and however slow Redis is.
    An erasure that fails half-way is resumed by calling it again: what is left in Redis is left to do.
    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(
        self,
        turns: LocalTurns,
        *,
        history: HistoryRepository,
        journal: TurnJournal,
        responses: ResponseRepository,
        items: ConversationItems,
        index: LeaseIndex,
    ) -> None:
        self._turns = turns
        self._history = history
        self._journal = journal
        self._responses = responses
        self._items = items
        self._index = index

    async def delete_conversation(self, user_id: str, conversation_id: str) -> None:
        """Erase a conversation, its running turn and what is kept of its turns."""
        await self._erase(user_id, conversation_id)
        _log.info("conversation erased", user_id=user_id, conversation_id=conversation_id)

    async def delete_user(self, user_id: str) -> None:
        """Erase all text that is kept about a user."""
        erased = 0
        while conversation_ids := await self._history.conversation_ids(user_id, limit=_AT_ONCE):
            await _all(self._erase(user_id, conversation_id) for conversation_id in conversation_ids)
            erased += len(conversation_ids)
        await self._erase_turns_without_conversation(user_id)
        while turn_ids := await self._responses.turn_ids(user_id, limit=_AT_ONCE):
            await _all(self.delete_response(user_id, turn_id) for turn_id in turn_ids)
        # A restored backup brings the user back: the log says which users have to be erased again.
        _log.info("user erased", user_id=user_id, conversations=erased)

    async def delete_response(self, user_id: str, turn_id: str) -> None:
        """Erase a response, its running turn and its journal. What it has added to a conversation stays.

        The index names it until the last step, so that an erasure that fails half-way is resumed.
        """
        await self._erase(user_id, place_without_conversation(turn_id))
        async with request_deadline():
            await self._journal.erase([turn_id], _DELETED)
            await self._responses.discard(user_id, [turn_id])

    async def _erase_turns_without_conversation(self, user_id: str) -> None:
        """Erase the running turns first: one that ends meanwhile is among the ended ones."""
        async with request_deadline():
            running_ids = await self._history.running_turns(user_id)
        for turn_id in running_ids:
            await self._erase(user_id, place_without_conversation(turn_id))
        await self._erase(user_id, "")

    async def _erase(self, user_id: str, conversation_id: str) -> None:
        is_done = False
        while not is_done:
            async with request_deadline():
                if is_conversation_id(conversation_id):
                    await self._erase_responses_in(user_id, conversation_id)
                turns = await self._history.erasable_turns(user_id, conversation_id)
                is_done = await self._erase_slice(user_id, conversation_id, turns)

    async def _erase_responses_in(self, user_id: str, conversation_id: str) -> None:
        """Erase the responses of a conversation of `/v1`, as long as its items name them."""
        places = map(place_of_item, await self._items.ids(user_id, conversation_id))
        turn_ids = list(dict.fromkeys(place.turn_id for place in places if place is not None))
        if turn_ids:
            await self._responses.discard(user_id, turn_ids)

    async def _erase_slice(self, user_id: str, conversation_id: str, turns: ErasableTurns) -> bool:
        """Erase what is kept of these turns, and the conversation itself with its last ones.

        The order matters:

        1. The journals, as long as the messages or the index still name their turns.
        2. The messages.
        3. The conversation, when no message is left. Its running turn is closed by that.
        """
        is_last = len(turns.message_turns) == turns.length
        turn_ids = [*turns.ended_ids, *([turns.running_id] if is_last and turns.running_id else [])]
        if turn_ids:
            await self._journal.erase(turn_ids, _DELETED)
            if is_conversation_id(conversation_id):
                # Items name a response only after its turn has ended.
                await self._responses.discard(user_id, turn_ids)
            for turn_id in turn_ids:
                if (generation := self._turns.get(turn_id)) is not None:
                    generation.on_lease_lost(_DELETED)
            await self._index.forget(*turn_ids)
        if turns.ended_ids or turns.length:
            await self._history.drop(user_id, conversation_id, turns)
        if not is_last or not await self._history.delete(
            user_id, conversation_id, turns.running_id, _DELETED
        ):
            return False
        if is_conversation_id(conversation_id):
            await self._items.forget(user_id, conversation_id)
        return True


async def _all(erasures: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run erasures side by side.

    Raises:
        HistoryUnavailable: One of them failed.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for erasure in erasures:
                group.create_task(erasure)
    except ExceptionGroup as failures:
        first = failures.exceptions[0]
        raise first from first.__cause__
