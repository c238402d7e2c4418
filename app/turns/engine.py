"""Starts turns and owns their generations until the last one is stored."""

import asyncio
import secrets

from app.errors import RETRY_SOON_SECONDS, Draining, HistoryUnavailable
from app.llm.client import Completion, LLMClient
from app.models import Message, Question
from app.store.history import HistoryRepository
from app.turns.generation import STORE_WAIT_SECONDS, Generation
from app.turns.prompt import build_prompt
from app.turns.turn import Turn

_BEFORE_STREAM_SECONDS = 2.5
"""One deadline for all work in Redis before a stream."""
_LAST_STORE_SECONDS = STORE_WAIT_SECONDS + 2


class TurnEngine:
    """The turns of this process."""

    def __init__(
        self,
        *,
        llm: LLMClient,
        history: HistoryRepository,
        system_prompt: str | None,
        max_tokens: int,
        status_wait_seconds: float,
        store_retry_seconds: float,
    ) -> None:
        self._llm = llm
        self._history = history
        self._system_prompt = system_prompt
        self._max_tokens = max_tokens
        self._status_wait_seconds = status_wait_seconds
        self._store_retry_seconds = store_retry_seconds
        self._running: dict[asyncio.Task[None], Generation] = {}
        self.is_draining = False

    async def start(self, question: Question) -> Turn:
        """Start a turn; it returns once the HTTP status is known.

        Raises:
            ServiceError: The turn could not be started, and has left nothing behind.
        """
        if self.is_draining:
            raise Draining(retry_after=RETRY_SOON_SECONDS)
        history = await self._read_history(question)
        generation = Generation(
            Turn(secrets.token_hex(16)),
            question,
            self._completion(question, history),
            llm=self._llm,
            history=self._history,
            store_retry_seconds=self._store_retry_seconds,
        )
        task = asyncio.create_task(generation.run(), name=f"turn {generation.turn.id}")
        self._running[task] = generation
        task.add_done_callback(self._forget)
        await generation.wait_for_status(self._status_wait_seconds)
        return generation.turn

    async def drain(self, grace_seconds: float) -> None:
        """Take no new turns, let the running ones end; after the grace interrupt and store the rest."""
        self.is_draining = True
        await self._wait_for_running(grace_seconds)
        self.interrupt_running()
        await self._wait_for_running(_LAST_STORE_SECONDS)
        for task in self._running:
            task.cancel()
        await self._wait_for_running(None)

    def interrupt_running(self) -> None:
        """End every running turn now, storing what has come."""
        for generation in self._running.values():
            generation.interrupt(Draining(turn_id=generation.turn.id))

    async def _read_history(self, question: Question) -> list[Message]:
        try:
            async with asyncio.timeout(_BEFORE_STREAM_SECONDS):
                return await self._history.messages(question.user_id, question.conversation_id)
        except TimeoutError:
            raise HistoryUnavailable(retry_after=RETRY_SOON_SECONDS) from None

    def _completion(self, question: Question, history: list[Message]) -> Completion:
        sampling = dict(question.sampling)
        asked = sampling.pop("max_tokens", self._max_tokens)
        return Completion(
            model=question.model,
            messages=build_prompt(self._system_prompt, history, question.message),
            max_tokens=min(asked, self._max_tokens),
            sampling=sampling,
        )

    async def _wait_for_running(self, seconds: float | None) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        if not task.cancelled():
            task.exception()  # retrieved: the generation has logged it
