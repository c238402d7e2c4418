"""The one way to end a turn, for its owner and for a process that finds the owner dead."""

from collections.abc import Sequence

import msgspec
import structlog

from app.clock import now_unix
from app.llm.chunk import parse_chunk
from app.models import LOST, AssistantMessage, TurnEnd, TurnRecord, UserMessage
from app.observability.metrics import Metrics
from app.prompts.estimates import text_tokens
from app.store.finished_turns import FinishedTurns
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.lease_results import CloseResult
from app.store.leases import TurnLeases
from app.turns.answer_builder import AnswerBuilder
from app.turns.journal_writer import JournalWriter
from app.turns.response_keeper import ResponseKeeper
from app.turns.stream import TurnStream

_log = structlog.get_logger()


class Settlement:
    """Ends turns in steps, each of which may be repeated without harm.

    1. The user's script appends both messages and frees the conversation, if the turn is not closed yet.
    2. The response, if the turn is one of a response, is stored as it has ended.
    3. The journal gets its terminal entry, after which Redis accepts no event.

    The order matters: a reader must not see the end of a turn that is not stored. On one server, an owner
    sends the steps together with the last events; each checks that the one before it was done. If one was
    not, in a Cluster, and for a response, the owner takes them one by one.
    Every method raises HistoryUnavailable if Redis does not do its part in time.
    """

    def __init__(
        self,
        *,
        leases: TurnLeases,
        finished: FinishedTurns,
        journal: TurnJournal,
        writer: JournalWriter,
        index: LeaseIndex,
        responses: ResponseKeeper,
        metrics: Metrics,
    ) -> None:
        self._leases = leases
        self._finished = finished
        self._journal = journal
        self._writer = writer
        self._index = index
        self._responses = responses
        self._metrics = metrics

    async def settle(
        self, stream: TurnStream, record: TurnRecord, answer: AssistantMessage, end: TurnEnd
    ) -> TurnEnd:
        """Store the turn of a running generation, as its owner.

        Returns:
            How the turn ended. It is not `end` if another process has closed the turn before.
        """
        if record.response is None and await self._settle_at_once(stream, record, answer, end):
            return end
        # First the journal: a reader of it must not meet the end before the last event.
        await self._writer.flush(stream)
        events: list[bytes] = []
        if record.response is not None:
            events = stream.events.all_after(0)
            if end.code is None:
                end = msgspec.structs.replace(end, ended_at=now_unix())
        closed = await self._store(record, answer, events, end)
        end = closed.end or LOST
        await self._responses.keep(record, events, end)
        last = len(stream.events)
        # Redis may have lost events since they were written, as in a failover.
        while (written := await self._journal.close(record.turn_id, end, last=last)) < last:
            self._writer.rewind(stream, written)
            await self._writer.flush(stream)
        return end

    async def _settle_at_once(
        self, stream: TurnStream, record: TurnRecord, answer: AssistantMessage, end: TurnEnd
    ) -> bool:
        """Take all steps in one round trip. Return False if they are to be taken one by one."""
        items = await self._responses.items(record, answer.content, [], end)
        return await self._finished.finish_with_journal(
            record, _question(record), answer, end, self._writer.unwritten(stream), items=items
        )

    async def pass_on(self, turn_id: str, end: TurnEnd) -> None:
        """Write the end that another process has given the turn. Its journal may still be open."""
        await self._journal.close(turn_id, end)

    async def abandon(self, record: TurnRecord, end: TurnEnd, *, only_if_lapsed: bool = False) -> None:
        """Undo a start: leave nothing behind. A remote reader that waits for the status gets `end`."""
        outcome = await self._leases.abandon(record, only_if_lapsed=only_if_lapsed)
        if outcome == "alive":
            return
        await self._responses.discard(record)
        if outcome == "read":
            await self._journal.refuse(record.turn_id, end)
        else:
            await self._journal.discard(record.turn_id)

    async def settle_lapsed(self, record: TurnRecord) -> None:
        """Store the turn of a dead owner, with what it had journalled. A turn whose lease is valid stays."""
        record = await self._responses.with_response(record)
        journalled = await self._journal.read(record.turn_id)
        if journalled is None or not journalled.is_committed:
            # The status was never committed, so nothing of the turn may stay.
            await self.abandon(record, LOST, only_if_lapsed=True)
            return
        answer = AnswerBuilder()
        for event in journalled.events:
            answer.add(parse_chunk(event))
        message = answer.message(
            turn_id=record.turn_id,
            model=record.model,
            status="interrupted",
            prompt_tokens=text_tokens(record.message),
        )
        closed = await self._store(record, message, journalled.events, LOST, only_if_lapsed=True)
        if closed.end is None:
            return
        await self._responses.keep(record, journalled.events, closed.end)
        await self._journal.close(record.turn_id, closed.end)
        if closed.outcome == "closed":  # by this process
            self._metrics.turns.labels(closed.end.status, closed.end.code or "").inc()
            _log.warning("turn closed", reason="its owner is gone", turn_id=record.turn_id)

    async def settle_lapsed_by_id(self, turn_id: str) -> None:
        """Store the turn of a dead owner, of which only the id is known."""
        journalled = await self._journal.record(turn_id)
        if journalled is None:
            await self._index.forget(turn_id)
            return
        record = await self._leases.find(journalled.user_id, journalled.conversation_id)
        if record is not None and record.turn_id == turn_id:
            await self.settle_lapsed(record)
            return
        # The conversation is free, so step 1 is done: the owner died before the last step.
        end = await self._finished.end_of(journalled.user_id, turn_id) or LOST
        if (written := await self._journal.read(turn_id)) is not None:
            await self._responses.keep_by_id(turn_id, written.events, end)
        await self._journal.close(turn_id, end)

    async def _store(
        self,
        record: TurnRecord,
        answer: AssistantMessage,
        events: Sequence[bytes],
        end: TurnEnd,
        *,
        only_if_lapsed: bool = False,
    ) -> CloseResult:
        items = await self._responses.items(record, answer.content, events, end)
        return await self._finished.finish(
            record, _question(record), answer, end, items=items, only_if_lapsed=only_if_lapsed
        )


def _question(record: TurnRecord) -> UserMessage:
    return UserMessage(record.message, record.turn_id, record.created_at)
