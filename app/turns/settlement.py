"""Closes turns that have no owner: those that never came to be, and those whose process has died."""

import structlog

from app.llm.chunk import parse_chunk
from app.models import LOST, TurnEnd, TurnRecord, UserMessage
from app.observability.metrics import Metrics
from app.prompts.estimates import text_tokens
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.leases import TurnLeases
from app.turns.answer_builder import AnswerBuilder

_log = structlog.get_logger()


class Settlement:
    """Does what the owner would have done; doing it twice is harmless.

    Every method raises HistoryUnavailable where Redis does not do its part in time.
    """

    def __init__(
        self, running: TurnLeases, journal: TurnJournal, index: LeaseIndex, metrics: Metrics
    ) -> None:
        self._running = running
        self._journal = journal
        self._index = index
        self._metrics = metrics

    async def abandon(self, turn: TurnRecord, end: TurnEnd, *, only_if_lapsed: bool = False) -> None:
        """Leave nothing of a start behind; a reader elsewhere that waits for its status is told the end."""
        outcome = await self._running.abandon(turn, only_if_lapsed=only_if_lapsed)
        if outcome == "alive":
            return
        if outcome == "read":
            await self._journal.close(turn.turn_id, end)
        else:
            await self._journal.discard(turn.turn_id)

    async def close_by_id(self, turn_id: str) -> None:
        """Close a turn whose lease has lapsed."""
        record = await self._journal.record(turn_id)
        if record is None:
            await self._index.forget(turn_id)
            return
        turn = await self._running.find(record.user_id, record.conversation_id)
        if turn is not None and turn.turn_id == turn_id:
            await self.close(turn)
            return
        # It has been closed, as its conversation is free; its owner died before it wrote the end.
        end = await self._running.end_of(record.user_id, turn_id)
        await self._journal.close(turn_id, end or LOST)

    async def close(self, turn: TurnRecord) -> None:
        """Close a turn if its lease has lapsed; else leave it alone."""
        journalled = await self._journal.read(turn.turn_id)
        if journalled is None or not journalled.is_committed:
            # Its status never went out, so nothing of it may be left behind.
            await self.abandon(turn, LOST, only_if_lapsed=True)
            return
        answer = AnswerBuilder()
        for event in journalled.events:
            answer.add(parse_chunk(event))
        closing = await self._running.finish(
            turn,
            UserMessage(turn.message, turn.turn_id, turn.created_at),
            answer.message(
                turn_id=turn.turn_id,
                model=turn.model,
                status="interrupted",
                prompt_tokens=text_tokens(turn.message),
            ),
            LOST,
            only_if_lapsed=True,
        )
        if closing.end is not None:
            await self._journal.close(turn.turn_id, closing.end)
        if closing.end is not None and closing.outcome == "closed":  # by this process
            self._metrics.turns.labels(closing.end.status, closing.end.code or "").inc()
            _log.warning("closed a turn whose owner is gone", turn_id=turn.turn_id)
