"""The running part of a turn: it belongs to the service, not to the connection that asked for it."""

import asyncio
from contextlib import suppress
from typing import Any

import anyio
import stamina
import structlog

from app.errors import HistoryUnavailable, InternalError, ServiceError
from app.llm.chunk import Chunk
from app.llm.client import CompletionRequest, LLMClient
from app.models import AssistantMessage, Question, TurnStatus, UserMessage, now_rfc3339
from app.store.history import HistoryRepository
from app.turns.turn import End, Turn

STORE_WAIT_SECONDS = 10.0
"""How long after the last token readers wait for the turn to be stored."""

_log = structlog.get_logger()


class Generation:
    """Relays one completion into its turn, stores it, and only then ends the turn."""

    def __init__(
        self,
        turn: Turn,
        question: Question,
        completion: CompletionRequest,
        *,
        llm: LLMClient,
        history: HistoryRepository,
        store_retry_seconds: float,
    ) -> None:
        self.turn = turn
        self._question = question
        self._completion = completion
        self._llm = llm
        self._history = history
        self._store_retry_seconds = store_retry_seconds
        self._asked_at = now_rfc3339()
        self._scope = anyio.CancelScope()
        self._interruption: ServiceError | None = None
        self._status_is_out = False
        self._content: list[str] = []
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None

    async def wait_for_status(self, seconds: float) -> None:
        """Hold the HTTP status back until the first event, for up to `seconds`.

        Raises:
            ServiceError: The turn failed before that, and has left nothing behind.
        """
        if not self.turn.has_events and self.turn.end is None:
            with anyio.move_on_after(seconds):
                await self.turn.changed()
        if not self.turn.has_events and self.turn.end is not None and self.turn.end.failure is not None:
            raise self.turn.end.failure
        self._status_is_out = True

    def interrupt(self, reason: ServiceError) -> None:
        """Stop generating; what has come is stored with status `interrupted` and readers get `reason`."""
        if self._interruption is None:
            self._interruption = reason
            self._scope.cancel()

    async def run(self) -> None:
        """Generate, store, end the turn: whatever happens, its readers get one clear end."""
        try:
            failure = await self._relay()
            if failure is None or self._status_is_out or self.turn.has_events:
                await self._store(failure)
            else:
                self.turn.close(End(failure))
        except Exception:  # noqa: BLE001 - a task's boundary
            _log.exception("a turn failed by a defect", turn_id=self.turn.id)
        finally:
            if self.turn.end is None:
                self.turn.close(End(InternalError()))

    async def _relay(self) -> ServiceError | None:
        with self._scope:
            try:
                async with self._llm.stream(self._completion) as batches:
                    async for chunks in batches:
                        self._take(chunks)
            except ServiceError as failure:
                return failure
            except Exception:  # noqa: BLE001 - a task's boundary: what has come is kept all the same
                _log.exception("a generation failed by a defect", turn_id=self.turn.id)
                return InternalError()
        if self._scope.cancelled_caught and self._finish_reason is None:
            return self._interruption
        return None

    def _take(self, chunks: list[Chunk]) -> None:
        for chunk in chunks:
            if chunk.content:
                self._content.append(chunk.content)
            self._finish_reason = chunk.finish_reason or self._finish_reason
            self._usage = chunk.usage or self._usage
        relayed = [c.data for c in chunks if self._question.include_usage or not c.is_usage_only]
        if relayed:
            self.turn.publish(relayed)

    async def _store(self, failure: ServiceError | None) -> None:
        """Store the turn and end it; where that takes too long, end it and go on trying."""
        storing = asyncio.create_task(self._append_until_stored(self._status(failure)))
        try:
            done, _ = await asyncio.wait({storing}, timeout=STORE_WAIT_SECONDS)
            if done and not isinstance(storing.exception(), HistoryUnavailable):
                storing.result()
                self.turn.close(End(failure))
                return
            self.turn.close(End(HistoryUnavailable()))
            with suppress(HistoryUnavailable):
                await storing
        finally:
            storing.cancel()

    async def _append_until_stored(self, status: TurnStatus) -> None:
        question = UserMessage(self._question.message, self.turn.id, self._asked_at)
        answer = AssistantMessage(
            content=_text(self._content),
            turn_id=self.turn.id,
            created_at=now_rfc3339(),
            status=status,
            model=self._question.model,
            finish_reason=self._finish_reason,
            usage=self._usage,
        )
        async for attempt in stamina.retry_context(
            on=HistoryUnavailable,
            attempts=None,
            timeout=self._store_retry_seconds,
            wait_initial=0.1,
            wait_max=2.0,
            wait_jitter=0.2,
        ):
            with attempt:
                await self._history.append_turn(
                    self._question.user_id, self._question.conversation_id, question, answer
                )

    def _status(self, failure: ServiceError | None) -> TurnStatus:
        if failure is None:
            return "complete"
        return "interrupted" if failure is self._interruption else "error"


def _text(parts: list[str]) -> str:
    """Join what came in parts; a surrogate pair split over two of them is one character again."""
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
