"""The running part of a turn: it belongs to the service, not to the connection that asked for it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import anyio
import stamina
import structlog

from app.clock import now
from app.errors import (
    ContextLengthExceeded,
    HistoryUnavailable,
    InternalError,
    ServiceError,
    UpstreamFiltered,
    error_for,
)
from app.llm.chunk import Chunk
from app.llm.failover import Failover
from app.models import LOST, TurnEnd, TurnRecord, TurnRequest
from app.observability.metrics import Metrics
from app.observability.tracing import Tracing, describe_answer
from app.prompts.builder import Prompt
from app.prompts.sources import PromptSource
from app.store.journal import TurnJournal
from app.turns.answer_builder import AnswerBuilder
from app.turns.journal_writer import JournalWriter
from app.turns.settlement import Settlement
from app.turns.stop_chunk import stop_chunk
from app.turns.stream import TurnStream
from app.turns.telemetry import TurnTelemetry

STORE_WAIT_SECONDS = 10.0
"""How long readers wait after the last token for the turn to be stored."""
LAST_STORE_SECONDS = STORE_WAIT_SECONDS + 2
"""How long the caller of `interrupt` waits for the turn to end."""
_SHARES_AFTER_REFUSALS = (0.5, 0.0)
"""The share of the conversation that stays in the prompt after each refusal of one that was too long."""

_log = structlog.get_logger()


class Generation:
    """Relays one completion into its turn's stream, stores it, and only then ends the stream.

    Attributes:
        stream: What readers follow.
        record: Whose turn it is, and what was asked.
        unread_since: When the last reader left, in the event loop's time; None while the turn is read.
        is_renewed: Whether the short first lease has been replaced by a full one.
        grace_seconds: How long the turn goes on without a reader; None: as the setting says.
    """

    def __init__(
        self,
        record: TurnRecord,
        request: TurnRequest,
        prompts: PromptSource,
        *,
        llm: Failover,
        journal: TurnJournal,
        writer: JournalWriter,
        settlement: Settlement,
        metrics: Metrics,
        tracing: Tracing,
        on_readers_changed: Callable[[str], None],
        store_retry_seconds: float,
    ) -> None:
        self.stream = TurnStream(record.turn_id, record.user_id)
        self.record = record
        self.unread_since: float | None = None
        self.is_renewed = False
        self.grace_seconds = request.grace_seconds
        self._on_readers_changed = on_readers_changed
        self._request = request
        self._llm = llm
        self._prompts = prompts
        self._journal = journal
        self._writer = writer
        self._settlement = settlement
        self._tracing = tracing
        self._store_retry_seconds = store_retry_seconds
        self._scope = anyio.CancelScope()
        self._is_relaying = True
        self._interruption: TurnEnd | None = None
        self._is_lost = False
        self._failure: ServiceError | None = None
        self._prompt: Prompt | None = None
        self._has_prompt = asyncio.Event()
        self._answer = AnswerBuilder()
        self._telemetry = TurnTelemetry(record, metrics)
        self._last_chunk = b""

    async def wait_for_status(self, seconds: float) -> None:
        """Hold the HTTP status until the first event, for up to `seconds`; then commit it.

        Raises:
            ServiceError: The turn failed before that, and has left nothing behind.
        """
        with anyio.move_on_after(seconds):
            await self.stream.committed_or_ended()
        await self._has_prompt.wait()  # the headers say how many messages were left out
        if self.stream.is_committed:
            return
        if self.stream.end is not None:
            end = self.stream.end
            raise self._failure or error_for(end.code or InternalError.code, end.message)
        self.stream.commit_status()
        with suppress(HistoryUnavailable):
            # If this is lost and the process dies too, the question is lost with it.
            await self._journal.mark_committed(self.stream.id)

    def interrupt(self, end: TurnEnd) -> None:
        """Stop generating. The turn is stored with what has come, and readers get this end."""
        if self._is_relaying and self._interruption is None:
            self._interruption = end
            self._scope.cancel()

    def on_lease_lost(self, end: TurnEnd) -> None:
        """Stop generating: another process has closed the turn with this end (LOST: that is not known)."""
        if self._is_relaying and not self._is_lost:
            self._is_lost = True
            self._interruption = end
            self._scope.cancel()

    async def run(self) -> None:
        """Generate, store, end the stream. Whatever happens, readers get one clear end."""
        # Not before: Redis knows of the first reader since the start.
        self.stream.on_readers_changed = lambda: self._on_readers_changed(self.stream.id)
        try:
            await self._relay()
            await self._finish(self._outcome())
        except Exception:  # noqa: BLE001 - a task's boundary
            _log.exception("turn failed", reason="defect", turn_id=self.stream.id)
        finally:
            self._writer.forget(self.stream)
            self._close(TurnEnd.from_error(InternalError()))

    async def _relay(self) -> None:
        try:
            with self._scope:
                await self._ask()
        except ServiceError as failure:
            self._failure = failure
        except Exception:  # noqa: BLE001 - a task's boundary: the text that has come is stored all the same
            _log.exception("generation failed", reason="defect", turn_id=self.stream.id)
            self._failure = InternalError()
        finally:
            self._is_relaying = False
            self._has_prompt.set()

    def _outcome(self) -> TurnEnd:
        """Decide how the turn ended. The first case that applies wins."""
        is_interrupted = self._scope.cancelled_caught
        match self._interruption, self._failure:
            # 1. Another process has closed the turn: its end stays.
            case TurnEnd() as end, _ if self._is_lost:
                return end
            # 2. Interrupted while only usage was missing: the answer is whole. A user's stop carries no
            #    error code, and stays a stop.
            case TurnEnd(code=str()), _ if is_interrupted and self._answer.is_whole:
                return TurnEnd("complete")
            # 3. Stopped by its user, replaced by a new request, unread for too long, or drained.
            case TurnEnd() as end, _ if is_interrupted:
                return end
            # 4. The backend failed, or we did.
            case _, ServiceError() as failure:
                return TurnEnd.from_error(failure)
            # 5. The backend has ended its answer.
            case _:
                return TurnEnd("complete")

    async def _finish(self, end: TurnEnd) -> None:
        """End the turn in the one way that fits its outcome. The first case that applies wins."""
        match end:
            # 1. Closed by another process. A committed turn whose lease was lost without an end is
            #    still ours to store (case 4): the script decides who was first.
            case _ if self._is_lost and not (end is LOST and self.stream.is_committed):
                self.stream.close(end)
                with suppress(HistoryUnavailable):
                    await self._settlement.pass_on(self.stream.id, end)
            # 2. It failed before the status was committed: the client gets an HTTP error, and nothing stays.
            case TurnEnd(code=str()) if not self.stream.is_committed:
                with suppress(HistoryUnavailable):  # then the lease expires, and the sweeper does the same
                    await self._settlement.abandon(self.record, end)
                self.stream.close(end)
            # 3. Stopped by its user: clients expect a finish_reason before [DONE].
            case TurnEnd(status="stopped") if self._answer.finish_reason is None:
                self._publish([stop_chunk(self._last_chunk, self.record)])
                await self._store(end)
            # 4. Everything else is stored.
            case _:
                await self._store(end)

    async def _ask(self) -> None:
        """Ask with the history that fits. If the backend finds it too long, ask with less, then without.

        If a filter refuses the content, the reason may stand in the history: ask once without it.
        """
        began = now()
        prompt = await self._prompts.first()
        for share in _SHARES_AFTER_REFUSALS:
            try:
                await self._generate(prompt, began)
            except ContextLengthExceeded:
                other = await self._prompts.shorter(prompt, share=share)
                if other.completion == prompt.completion:
                    raise
                prompt = other
            except UpstreamFiltered:
                other = await self._prompts.without_history(prompt)
                if other.completion.messages == prompt.completion.messages:
                    raise
                prompt = other
            else:
                return
        await self._generate(prompt, began)

    async def _generate(self, prompt: Prompt, began: float) -> None:
        self._prompt = prompt
        self.stream.dropped_messages = prompt.dropped_messages
        self._has_prompt.set()
        with self._tracing.completion(prompt.completion.model, prompt.completion.max_tokens) as span:
            backend = await self._llm.stream(
                prompt.completion, self._on_chunks, began=began, on_attempt=self._telemetry.asked
            )
            usage = self._answer.usage(prompt_tokens=prompt.tokens)
            describe_answer(span, finish_reason=self._answer.finish_reason, usage=usage)
        if (counted := self._answer.prompt_tokens) is not None:
            self._prompts.learn(prompt, counted)
            backend.accepted(prompt.completion.model, counted)

    def _on_chunks(self, chunks: list[Chunk]) -> None:
        """Take the chunks of one read: the token path."""
        has_content = False
        for chunk in chunks:
            self._answer.add(chunk)
            has_content = has_content or chunk.has_content
        if has_content:
            self._telemetry.tokens_arrived()
        relayed = [c.data for c in chunks if self._request.include_usage or not c.is_usage_only]
        if relayed:
            self._last_chunk = relayed[-1]
            self._publish(relayed)

    def _publish(self, events: list[bytes]) -> None:
        self.stream.publish(events)
        self._writer.note(self.stream)

    async def _store(self, end: TurnEnd) -> None:
        """Store the turn, then end the stream. If that takes too long, end it and go on trying to store."""
        self._end = end
        give_up = asyncio.get_running_loop().call_later(STORE_WAIT_SECONDS, self._stop_waiting)
        try:
            self.stream.close(await self._try_to_store())
        except HistoryUnavailable:
            _log.error("turn not stored", reason="Redis is unreachable", turn_id=self.stream.id)
            self._stop_waiting()
        finally:
            give_up.cancel()

    def _stop_waiting(self) -> None:
        """End the stream with an error. If the turn is stored later, it is stored with this end."""
        self._end = TurnEnd.from_error(HistoryUnavailable(), self._end.status)
        self._close(self._end)

    async def _try_to_store(self) -> TurnEnd:
        # Setting up the retries costs as much as a Redis command, and is hardly ever needed.
        with suppress(HistoryUnavailable):
            return await self._settle()
        retrying = stamina.AsyncRetryingCaller(
            attempts=None, timeout=self._store_retry_seconds, wait_initial=0.1, wait_max=1.0, wait_jitter=0.2
        )
        return await retrying(HistoryUnavailable, self._settle)

    async def _settle(self) -> TurnEnd:
        message = self._answer.message(
            turn_id=self.stream.id,
            model=self.record.model,
            status=self._end.status,
            prompt_tokens=self._prompt_tokens,
        )
        return await self._settlement.settle(self.stream, self.record, message, self._end)

    def _close(self, end: TurnEnd) -> None:
        """End the stream, unless it has ended, and report the end that readers got."""
        self.stream.close(end)
        assert self.stream.end is not None  # it is closed, if not by this end
        self._telemetry.ended(self.stream.end, self._answer.usage(prompt_tokens=self._prompt_tokens))

    @property
    def _prompt_tokens(self) -> float:
        return self._prompt.tokens if self._prompt else 0
