"""One turn at a time in a conversation: which turn may start, attach, or has to make room."""

import asyncio
from contextlib import suppress

import msgspec
import stamina

from app.clock import now
from app.errors import (
    ConversationBusy,
    HistoryUnavailable,
    IdempotencyKeyReused,
    ServiceError,
    TurnNotFound,
)
from app.models import TurnEnd, TurnRecord, TurnRequest
from app.store.faults import request_deadline
from app.store.finished_turns import FinishedTurns
from app.store.journal import TurnJournal
from app.store.lease_results import AdmissionResult
from app.store.leases import TurnLeases
from app.turns.background import cancel
from app.turns.lease_renewal import STOPS
from app.turns.local_turns import LocalTurns
from app.turns.settlement import Settlement
from app.turns.sweeper import TurnSweeper

_RETRY_SECONDS = 0.05
_ROLL_BACK_SECONDS = 60.0
_INTERRUPT_SECONDS = 2.0
"""How long to wait for an interrupted turn to end. Must be below the deadline of a request's Redis work."""


class Admission:
    """Lets a turn into its conversation as soon as the turn before it has ended."""

    def __init__(
        self,
        turns: LocalTurns,
        *,
        leases: TurnLeases,
        finished: FinishedTurns,
        journal: TurnJournal,
        settlement: Settlement,
        sweeper: TurnSweeper,
    ) -> None:
        self._turns = turns
        self._leases = leases
        self._finished = finished
        self._journal = journal
        self._settlement = settlement
        self._sweeper = sweeper
        self._rollbacks: set[asyncio.Task[None]] = set()
        """Rollbacks of starts that Redis may still execute. If one fails, the short first lease expires."""

    async def admit(
        self,
        record: TurnRecord,
        request: TurnRequest,
        *,
        refusal: ServiceError | None,
        with_history: bool,
    ) -> AdmissionResult:
        """Make this the conversation's running turn, or find the turn that the same request started before.

        A turn that has started has its journal.

        Args:
            record: The turn to start.
            request: What it answers.
            refusal: Why no turn may start now. Attaching to a turn that runs already is still possible.
            with_history: Whether to read the newest messages of the conversation as well.

        Raises:
            ServiceError: Neither is possible now.
        """
        give_up = now() + _INTERRUPT_SECONDS
        while True:
            found = await self._try(record, request, refusal, with_history=with_history)
            match found.outcome:
                case "started":
                    return found
                case "attached" if await self._exists(record, found.turn_id):
                    return found
                case "reused":
                    raise IdempotencyKeyReused
                case "busy" if request.if_busy == "reject" or not self._is_unread_here(found.turn_id):
                    raise ConversationBusy(turn_id=found.turn_id)
                case "busy" | "interrupting":
                    if now() > give_up:
                        raise ConversationBusy(turn_id=found.turn_id)
                    await self._interrupt(found.turn_id)
                case "lapsed":
                    if now() > give_up:
                        raise ConversationBusy(turn_id=found.turn_id)
                    await self._settle_lapsed(record, found.turn_id)

    async def has_started(self, record: TurnRecord, request: TurnRequest, attached_id: str) -> bool:
        """Tell whether the request's Idempotency-Key still stands for that turn."""
        async with request_deadline():
            found = await self._leases.find_request(record, fingerprint=request.fingerprint())
        return found is not None and found.turn_id == attached_id

    def roll_back(self, record: TurnRecord) -> None:
        """Undo a start in the background, even if Redis executes it only after its caller has given up."""
        task = asyncio.create_task(self._roll_back(record))
        self._rollbacks.add(task)
        task.add_done_callback(self._rollbacks.discard)

    async def cancel_rollbacks(self) -> None:
        """Cancel the rollbacks that still run; the short first leases of those starts expire."""
        await cancel(self._rollbacks)

    async def _roll_back(self, record: TurnRecord) -> None:
        with suppress(HistoryUnavailable):
            retrying = stamina.AsyncRetryingCaller(attempts=None, timeout=_ROLL_BACK_SECONDS)
            end = TurnEnd.from_error(HistoryUnavailable())
            await retrying(HistoryUnavailable, self._settlement.abandon, record, end)

    async def _try(
        self, record: TurnRecord, request: TurnRequest, refusal: ServiceError | None, *, with_history: bool
    ) -> AdmissionResult:
        # Without a key nothing compares it, and a body may be large.
        fingerprint = request.fingerprint() if request.idempotency_key else ""
        if refusal is not None:
            found = await self._leases.find_request(record, fingerprint=fingerprint)
            if found is None:
                raise refusal
            return found
        return await self._leases.start(
            record,
            fingerprint=fingerprint,
            if_busy=request.if_busy,
            is_limited=request.is_limited,
            with_history=with_history,
        )

    async def _exists(self, record: TurnRecord, attached_id: str) -> bool:
        """Tell whether the turn of an earlier request can be followed. If it never started, free its key."""
        if await self._journal.record(attached_id) is not None:
            return True
        if await self._finished.end_of(record.user_id, attached_id) is not None:
            raise TurnNotFound(turn_id=attached_id)  # its conversation was deleted
        earlier = msgspec.structs.replace(record, turn_id=attached_id)
        outcome = await self._leases.abandon(earlier, only_if_lapsed=True)
        if outcome == "alive":
            await asyncio.sleep(_RETRY_SECONDS)
        return False

    def _is_unread_here(self, turn_id: str) -> bool:
        """Tell whether the last reader left so recently that Redis does not know yet."""
        generation = self._turns.get(turn_id)
        return generation is not None and generation.stream.is_unread

    async def _interrupt(self, turn_id: str) -> None:
        if (generation := self._turns.get(turn_id)) is not None:
            generation.interrupt(STOPS["interrupted"])
        await asyncio.sleep(_RETRY_SECONDS)

    async def _settle_lapsed(self, record: TurnRecord, lapsed_id: str) -> None:
        if not self._sweeper.may_settle(lapsed_id):
            raise ConversationBusy(turn_id=lapsed_id)
        lapsed = await self._leases.find(record.user_id, record.conversation_id)
        if lapsed is not None and lapsed.turn_id == lapsed_id:
            await self._settlement.settle_lapsed(lapsed)
