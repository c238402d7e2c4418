"""One turn at a time in a conversation: who may start, who attaches, who makes way."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import msgspec
import stamina

from app.errors import (
    ConversationBusy,
    HistoryUnavailable,
    IdempotencyKeyReused,
    ServiceError,
    TurnNotFound,
)
from app.models import Question, TurnEnd, TurnRecord
from app.store.faults import request_deadline
from app.store.journal import TurnJournal
from app.store.leases import AdmissionResult, TurnLeases
from app.turns.generation import Generation
from app.turns.lease_renewal import STOPS
from app.turns.settlement import Settlement
from app.turns.sweeper import TurnSweeper

_RETRY_SECONDS = 0.05
_LEAVE_SECONDS = 60.0
_MAKE_WAY_SECONDS = 2.0
"""How long a turn that is to make way may take; below the deadline for all that comes before a stream."""


class Admission:
    """Lets a turn into its conversation, once what was there has ended."""

    def __init__(
        self,
        generations: Mapping[str, Generation],
        *,
        running: TurnLeases,
        journal: TurnJournal,
        closer: Settlement,
        sweeper: TurnSweeper,
    ) -> None:
        self._generations = generations
        self._running = running
        self._journal = journal
        self._closer = closer
        self._sweeper = sweeper

    async def admit(
        self, turn: TurnRecord, question: Question, *, refusal: ServiceError | None
    ) -> AdmissionResult:
        """Become the conversation's running turn, or find the turn that this request has started before.

        Args:
            turn: The one to start.
            question: What it answers.
            refusal: Why no turn may start now; one that has been started may still be followed.

        Raises:
            ServiceError: Neither is possible now.
        """
        now = asyncio.get_running_loop().time
        give_up = now() + _MAKE_WAY_SECONDS
        while True:
            found = await self._try(turn, question, refusal)
            match found.outcome:
                case "started":
                    return found
                case "attached" if await self._has_come_to_be(turn, found.turn_id):
                    return found
                case "reused":
                    raise IdempotencyKeyReused
                case "busy" if not self._is_unread_here(found.turn_id):
                    raise ConversationBusy(turn_id=found.turn_id)
                case "busy" | "interrupting":
                    if now() > give_up:
                        raise ConversationBusy(turn_id=found.turn_id)
                    await self._make_way(found.turn_id)
                case "lapsed":
                    if now() > give_up:
                        raise ConversationBusy(turn_id=found.turn_id)
                    await self._close_lapsed(turn, found.turn_id)

    async def has_started(self, turn: TurnRecord, question: Question, attached_id: str) -> bool:
        """Whether the request's Idempotency-Key still stands for that turn."""
        async with request_deadline():
            found = await self._running.find_request(turn, fingerprint=question.fingerprint())
        return found is not None and found.turn_id == attached_id

    async def roll_back(self, turn: TurnRecord) -> None:
        """Take a start back, also one that Redis carries out only now that its caller has given up."""
        with suppress(HistoryUnavailable):  # then the turn's short first lease lapses
            retrying = stamina.AsyncRetryingCaller(attempts=None, timeout=_LEAVE_SECONDS)
            await retrying(
                HistoryUnavailable, self._closer.abandon, turn, TurnEnd.from_error(HistoryUnavailable())
            )

    async def _try(
        self, turn: TurnRecord, question: Question, refusal: ServiceError | None
    ) -> AdmissionResult:
        if refusal is not None:
            found = await self._running.find_request(turn, fingerprint=question.fingerprint())
            if found is None:
                raise refusal
            return found
        return await self._running.start(
            turn,
            fingerprint=question.fingerprint(),
            may_interrupt=question.may_interrupt,
        )

    async def _has_come_to_be(self, turn: TurnRecord, attached_id: str) -> bool:
        """Whether the turn of an earlier request can be followed; if it never started, its key is freed."""
        if await self._journal.record(attached_id) is not None:
            return True
        if await self._running.end_of(turn.user_id, attached_id) is not None:
            raise TurnNotFound(turn_id=attached_id)  # its conversation has been deleted
        outcome = await self._running.abandon(
            msgspec.structs.replace(turn, turn_id=attached_id), only_if_lapsed=True
        )
        if outcome == "alive":
            await asyncio.sleep(_RETRY_SECONDS)
        return False

    def _is_unread_here(self, turn_id: str) -> bool:
        """Whether its last reader has left only now, so that Redis does not know yet."""
        generation = self._generations.get(turn_id)
        return generation is not None and not (
            generation.turn.has_readers or generation.turn.has_remote_readers
        )

    async def _make_way(self, turn_id: str) -> None:
        if (generation := self._generations.get(turn_id)) is not None:
            generation.interrupt(STOPS["interrupted"])
        await asyncio.sleep(_RETRY_SECONDS)

    async def _close_lapsed(self, turn: TurnRecord, lapsed_id: str) -> None:
        if not self._sweeper.may_close(lapsed_id):
            raise ConversationBusy(turn_id=lapsed_id)
        lapsed = await self._running.find(turn.user_id, turn.conversation_id)
        if lapsed is not None and lapsed.turn_id == lapsed_id:
            await self._closer.close(lapsed)
