"""Starts turns and owns their generations until the last one is stored."""

import asyncio
import secrets

import anyio

from app.errors import RETRY_SOON_SECONDS, Draining, HistoryUnavailable
from app.llm.client import CompletionRequest, LLMClient
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
        self._hurry = asyncio.Event()

    async def start(self, question: Question) -> Turn:
        """Start a turn; it returns once the HTTP status is known.

        Raises:
            ServiceError: The turn could not be started, and has left nothing behind.
        """
        self._refuse_while_draining()
        history = await self._read_history(question)
        self._refuse_while_draining()  # it may have begun in the meantime
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
        task.add_done_callback(self._running.pop)
        await generation.wait_for_status(self._status_wait_seconds)
        return generation.turn

    async def drain(self, grace_seconds: float) -> None:
        """Take no new turns, let the running ones end; after the grace interrupt and store the rest."""
        self.is_draining = True
        with anyio.move_on_after(grace_seconds):
            hurry = asyncio.create_task(self._hurry.wait())
            running = asyncio.create_task(self._wait_for_running(None))
            await asyncio.wait({hurry, running}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        running.cancel()
        self._interrupt_running()
        await self._wait_for_running(_LAST_STORE_SECONDS)
        for task in self._running:
            task.cancel()
        await self._wait_for_running(None)

    def hurry(self) -> None:
        """Let the grace of a drain be over."""
        self._hurry.set()

    def _interrupt_running(self) -> None:
        for generation in self._running.values():
            generation.interrupt(Draining(retry_after=RETRY_SOON_SECONDS))

    def _refuse_while_draining(self) -> None:
        if self.is_draining:
            raise Draining(retry_after=RETRY_SOON_SECONDS)

    async def _read_history(self, question: Question) -> list[Message]:
        try:
            async with asyncio.timeout(_BEFORE_STREAM_SECONDS):
                return await self._history.messages(question.user_id, question.conversation_id)
        except TimeoutError:
            raise HistoryUnavailable(retry_after=RETRY_SOON_SECONDS) from None

    def _completion(self, question: Question, history: list[Message]) -> CompletionRequest:
        sampling = dict(question.sampling)
        asked = sampling.pop("max_tokens", self._max_tokens)
        return CompletionRequest(
            model=question.model,
            messages=build_prompt(self._system_prompt, history, question.message),
            max_tokens=min(asked, self._max_tokens),
            sampling=sampling,
        )

    async def _wait_for_running(self, seconds: float | None) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)
