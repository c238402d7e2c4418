"""The running part of a turn: it belongs to the service, not to the connection that asked for it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import anyio
import msgspec
import stamina
import structlog

from app.errors import ContextLengthExceeded, HistoryUnavailable, InternalError, ServiceError, error_for
from app.llm.chunk import Chunk
from app.llm.client import LLMClient
from app.models import LOST, Message, Question, TurnEnd, TurnRecord, UserMessage
from app.observability.metrics import Metrics
from app.observability.tracing import Tracing, describe_answer
from app.prompts.builder import Prompt, PromptBuilder
from app.store.journal import TurnJournal
from app.store.leases import TurnLeases
from app.turns.answer_builder import AnswerBuilder
from app.turns.journal_writer import JournalWriter
from app.turns.settlement import Settlement
from app.turns.stream import TurnStream
from app.turns.telemetry import TurnTelemetry

STORE_WAIT_SECONDS = 10.0
"""How long after the last token readers wait for the turn to be stored."""
LAST_STORE_SECONDS = STORE_WAIT_SECONDS + 2
"""How long whoever has cut a turn waits for its end."""
_SHARES_AFTER_REFUSALS = (0.5, 0.0)
"""What is left of the conversation in a prompt that follows one that was too long."""

_log = structlog.get_logger()


class Generation:
    """Relays one completion into its turn, stores it, and only then ends the turn."""

    def __init__(
        self,
        turn: TurnStream,
        record: TurnRecord,
        question: Question,
        history: Sequence[Message],
        *,
        llm: LLMClient,
        prompts: PromptBuilder,
        running: TurnLeases,
        journal: TurnJournal,
        writer: JournalWriter,
        closer: Settlement,
        metrics: Metrics,
        tracing: Tracing,
        store_retry_seconds: float,
    ) -> None:
        self.turn = turn
        self.record = record
        self.unread_since: float | None = None
        self.is_renewed = False
        """Whether its lease is a full one."""
        self._question = question
        self._history = history
        self._llm = llm
        self._prompts = prompts
        self._running = running
        self._journal = journal
        self._writer = writer
        self._closer = closer
        self._tracing = tracing
        self._store_retry_seconds = store_retry_seconds
        self._scope = anyio.CancelScope()
        self._is_relaying = True
        self._cut: TurnEnd | None = None
        self._is_lost = False
        self._failure: ServiceError | None = None
        self._prompt: Prompt | None = None
        self._is_prompted = asyncio.Event()
        self._answer = AnswerBuilder()
        self._account = TurnTelemetry(record, metrics)
        self._last_chunk = b""

    async def wait_for_status(self, seconds: float) -> None:
        """Hold the HTTP status back until the first event, for up to `seconds`.

        Raises:
            ServiceError: The turn failed before that, and has left nothing behind.
        """
        with anyio.move_on_after(seconds):
            while not self.turn.is_committed and self.turn.end is None:
                await self.turn.changed()
        await self._is_prompted.wait()  # what was left out of the prompt is told with the status
        if self.turn.is_committed:
            return
        if self.turn.end is not None:
            raise self._failure or error_for(self.turn.end.code or InternalError.code, self.turn.end.message)
        self.turn.commit_status()
        with suppress(HistoryUnavailable):
            # Where this does not get through, and this process dies too, the question goes with it.
            await self._journal.mark_committed(self.turn.id)

    def interrupt(self, end: TurnEnd) -> None:
        """Stop generating; what has come is stored, and readers get this end."""
        if self._is_relaying and self._cut is None:
            self._cut = end
            self._scope.cancel()

    def on_lease_lost(self, end: TurnEnd) -> None:
        """Stop generating: somebody else has closed the turn, with this end. Where it is LOST, nobody has."""
        if self._is_relaying and not self._is_lost:
            self._is_lost = True
            self._cut = end
            self._scope.cancel()

    async def run(self) -> None:
        """Generate, store, end the turn: whatever happens, its readers get one clear end."""
        try:
            end = await self._relay()
            if self._is_lost and not (end is LOST and self.turn.is_committed):
                self.turn.close(end)
                # Where the conversation was deleted while the turn started, its journal is still open.
                with suppress(HistoryUnavailable):
                    await self._journal.close(self.turn.id, end)
            elif end.code is not None and not self.turn.is_committed:
                await self._abandon(end)
            else:
                if end.status == "stopped" and self._answer.finish_reason is None:
                    self._publish([_last_chunk(self._last_chunk, self.record)])
                await self._store(end)
        except Exception:  # noqa: BLE001 - a task's boundary
            _log.exception("a turn failed by a defect", turn_id=self.turn.id)
        finally:
            self._writer.forget(self.turn)
            self._close(TurnEnd.from_error(InternalError()))

    def _close(self, end: TurnEnd) -> None:
        self.turn.close(end)
        assert self.turn.end is not None  # it is closed, if not by this end
        self._account.ended(self.turn.end, self._answer.usage(prompt_tokens=self._prompt_tokens))

    @property
    def _prompt_tokens(self) -> float:
        return self._prompt.tokens if self._prompt else 0

    async def _relay(self) -> TurnEnd:
        try:
            with self._scope:
                await self._ask()
        except ServiceError as failure:
            self._failure = failure
        except Exception:  # noqa: BLE001 - a task's boundary: what has come is kept all the same
            _log.exception("a generation failed by a defect", turn_id=self.turn.id)
            self._failure = InternalError()
        finally:
            self._is_relaying = False
            self._is_prompted.set()
        if self._cut is not None and (self._is_lost or self._scope.cancelled_caught):
            # An answer that only waited for its usage is whole, unless its user has stopped it.
            is_whole = self._answer.finish_reason is not None and self._cut.code is not None
            return TurnEnd("complete") if is_whole and not self._is_lost else self._cut
        return TurnEnd.from_error(self._failure) if self._failure is not None else TurnEnd("complete")

    async def _ask(self) -> None:
        """Ask with what fits; where the backend finds that too long, with less, and in the end alone."""
        began = asyncio.get_running_loop().time()
        prompt = await self._prompts.build(self._question, self._history)
        for share in _SHARES_AFTER_REFUSALS:
            try:
                await self._generate(prompt, began)
            except ContextLengthExceeded:
                smaller = await self._prompts.build_smaller(
                    self._question, self._history, refused=prompt, share=share
                )
                if smaller.completion == prompt.completion:
                    raise
                prompt = smaller
            else:
                return
        await self._generate(prompt, began)

    async def _generate(self, prompt: Prompt, began: float) -> None:
        self._prompt = prompt
        self.turn.dropped_messages = prompt.dropped_messages
        self._is_prompted.set()
        with self._tracing.completion(prompt.completion.model, prompt.completion.max_tokens) as span:
            await self._llm.stream(prompt.completion, self._on_chunks, began=began)
            describe_answer(
                span,
                finish_reason=self._answer.finish_reason,
                usage=self._answer.usage(prompt_tokens=prompt.tokens),
            )
        if (counted := self._answer.prompt_tokens) is not None:
            self._prompts.learn(prompt, counted)

    def _on_chunks(self, chunks: list[Chunk]) -> None:
        has_content = False
        for chunk in chunks:
            self._answer.add(chunk)
            has_content = has_content or chunk.has_content
        if has_content:
            self._account.tokens_arrived()
        relayed = [c.data for c in chunks if self._question.include_usage or not c.is_usage_only]
        if relayed:
            self._last_chunk = relayed[-1]
            self._publish(relayed)

    def _publish(self, events: list[bytes]) -> None:
        self.turn.publish(events)
        self._writer.note(self.turn)

    async def _abandon(self, end: TurnEnd) -> None:
        """Leave nothing behind; a reader elsewhere that waits for the status gets the same error."""
        with suppress(HistoryUnavailable):  # the lease lapses then, and whoever finds it does the same
            await self._closer.abandon(self.record, end)
        self.turn.close(end)

    async def _store(self, end: TurnEnd) -> None:
        """Store the turn and end it; where that takes too long, end it and go on trying."""
        self._end = end
        give_up = asyncio.get_running_loop().call_later(STORE_WAIT_SECONDS, self._stop_waiting)
        try:
            self.turn.close(await self._try_to_store())
        except HistoryUnavailable:
            _log.error("a turn could not be stored", turn_id=self.turn.id)
            self._stop_waiting()
        finally:
            give_up.cancel()

    def _stop_waiting(self) -> None:
        self._end = TurnEnd.from_error(HistoryUnavailable(), self._end.status)
        self._close(self._end)

    async def _try_to_store(self) -> TurnEnd:
        # Setting up the retries costs as much as a command of Redis, and is hardly ever needed.
        with suppress(HistoryUnavailable):
            return await self._store_once()
        retrying = stamina.AsyncRetryingCaller(
            attempts=None,
            timeout=self._store_retry_seconds,
            wait_initial=0.1,
            wait_max=1.0,
            wait_jitter=0.2,
        )
        return await retrying(HistoryUnavailable, self._store_once)

    async def _store_once(self) -> TurnEnd:
        # First the journal, so that nobody who reads it finds the end before the last event.
        await self._writer.flush(self.turn)
        closing = await self._running.finish(
            self.record,
            UserMessage(self.record.message, self.turn.id, self.record.created_at),
            self._answer.message(
                turn_id=self.turn.id,
                model=self.record.model,
                status=self._end.status,
                prompt_tokens=self._prompt_tokens,
            ),
            self._end,
        )
        end = closing.end or LOST
        last = len(self.turn.events)
        while (written := await self._journal.close(self.turn.id, end, last=last)) < last:
            self.turn.journalled = written
            await self._writer.flush(self.turn)
        return end


class _ChunkHead(msgspec.Struct):
    id: Any = None
    model: Any = None
    created: Any = None


def _last_chunk(before: bytes, record: TurnRecord) -> bytes:
    """The chunk that tells a client that its user has stopped the answer."""
    head = _ChunkHead()
    with suppress(ValueError, RecursionError):
        head = msgspec.json.decode(before, type=_ChunkHead)
    return msgspec.json.encode(
        {
            "id": head.id or f"chatcmpl-{record.turn_id}",
            "object": "chat.completion.chunk",
            "created": head.created or int(time.time()),
            "model": head.model or record.model,
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        }
    )
