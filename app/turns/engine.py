"""The turns of this process: started, followed, stopped, and owned until the last one is stored."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from app.errors import (
    Draining,
    HistoryUnavailable,
    Overloaded,
    RateLimitError,
    RequestError,
    ServiceError,
    TurnExpired,
    TurnNotFound,
    error_for,
)
from app.llm.client import LLMClient
from app.models import Question, TurnEnd, TurnRecord, now_rfc3339
from app.observability.metrics import Metrics
from app.observability.tracing import Tracing
from app.prompts.builder import PromptBuilder
from app.store.faults import request_deadline
from app.store.history import HistoryRepository
from app.store.journal import TurnJournal
from app.store.lease_index import LeaseIndex
from app.store.leases import TurnLeases
from app.store.owner_mailbox import OwnerMailbox
from app.turns.admission import Admission
from app.turns.background import cancel, supervise
from app.turns.directory import TurnDirectory
from app.turns.eraser import ConversationEraser
from app.turns.generation import LAST_STORE_SECONDS, Generation
from app.turns.journal_writer import JournalWriter
from app.turns.lease_renewal import LeaseRenewer
from app.turns.remote_turns import RemoteTurns
from app.turns.settlement import Settlement
from app.turns.stream import Reader, TurnStream
from app.turns.sweeper import TurnSweeper

_POLL_SECONDS = 0.1


class TurnEngine:
    """Starts turns, lets them be followed and stopped from here, and owns what runs here."""

    def __init__(
        self,
        *,
        llm: LLMClient,
        history: HistoryRepository,
        running: TurnLeases,
        index: LeaseIndex,
        owners: OwnerMailbox,
        journal: TurnJournal,
        metrics: Metrics,
        tracing: Tracing,
        system_prompt: str | None,
        max_tokens: int,
        max_active_turns: int,
        status_wait_seconds: float,
        store_retry_seconds: float,
        grace_seconds: float,
        lease_seconds: float,
    ) -> None:
        self._llm = llm
        self._history = history
        self._running = running
        self._owners = owners
        self._journal = journal
        self._metrics = metrics
        self._tracing = tracing
        self._prompts = PromptBuilder(llm.context_sizes, system_prompt=system_prompt, max_tokens=max_tokens)
        self._max_active_turns = max_active_turns
        self._status_wait_seconds = status_wait_seconds
        self._store_retry_seconds = store_retry_seconds
        self._lease_seconds = lease_seconds
        self._starting = 0
        self._generations: dict[str, Generation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rollbacks: set[asyncio.Task[None]] = set()
        """Of starts that Redis may yet carry out; where they do not come to it, a short lease lapses."""
        self._writer = JournalWriter(journal)
        self._tail = RemoteTurns(journal, owners)
        self._closer = Settlement(running, journal, index, metrics)
        self._keeper = LeaseRenewer(
            self._generations,
            running=running,
            owners=owners,
            tail=self._tail,
            grace_seconds=grace_seconds,
            lease_seconds=lease_seconds,
        )
        self._sweeper = TurnSweeper(
            self._generations, index=index, closer=self._closer, lease_seconds=lease_seconds
        )
        self._admission = Admission(
            self._generations,
            running=running,
            journal=journal,
            closer=self._closer,
            sweeper=self._sweeper,
        )
        self.access = TurnDirectory(
            self._generations,
            journal=journal,
            owners=owners,
            tail=self._tail,
            metrics=metrics,
            lease_seconds=lease_seconds,
        )
        self.eraser = ConversationEraser(self._generations, history=history, journal=journal, index=index)
        self.is_draining = False
        self._hurry = asyncio.Event()

    @property
    def active_turns(self) -> int:
        """How many turns this process runs."""
        return len(self._generations)

    @property
    def journal_lag_seconds(self) -> float:
        """For how long the oldest event waits to be journalled."""
        return self._writer.lag_seconds

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Keep leases, write and read journals; at the end store at once what still runs."""
        steady = [self._writer.run, self._tail.run, self._keeper.run, self._keeper.listen, self._sweeper.run]
        if not self._llm.context_sizes.is_configured:
            steady.append(self._llm.context_sizes.watch)
        loops = {asyncio.create_task(supervise(loop), name=loop.__qualname__) for loop in steady}
        try:
            yield
            await self.drain(0)
        finally:
            await cancel(loops)

    async def start(self, question: Question) -> Reader:
        """Start a turn, or attach to the one that this request has started before; its status is known then.

        Raises:
            ServiceError: The turn could not be started, and has left nothing behind.
        """
        turn = TurnRecord(
            turn_id=secrets.token_hex(16),
            user_id=question.user_id,
            conversation_id=question.conversation_id,
            message=question.message,
            model=question.model,
            created_at=now_rfc3339(),
            request=_digest(question.idempotency_key),
        )
        refusal = self._refusal()
        self._starting += 1
        try:
            async with request_deadline():
                start = await self._admission.admit(turn, question, refusal=refusal)
                if start.outcome == "started":
                    generation = await self._generation(turn, question, start.lease_until_ms)
        except (RequestError, RateLimitError, Draining, Overloaded):
            raise  # nothing was begun
        except BaseException:
            # Redis may yet carry out what it was sent; nothing of that may stay.
            self._roll_back(turn)
            raise
        finally:
            self._starting -= 1
        if start.outcome == "attached":
            try:
                return await self._attach(start.turn_id)
            except (TurnNotFound, TurnExpired, HistoryUnavailable):
                if await self._admission.has_started(turn, question, start.turn_id):
                    raise
            # What it would have been attached to was taken back meanwhile, as if it had never been.
            return await self.start(question)
        if self.is_draining:  # it has begun in the meantime
            self._roll_back(turn)
            raise Draining
        reader = generation.turn.open_reader()
        reader.quota = start.quota
        self._own(generation)
        return await self._with_status(generation, reader)

    async def drain(self, grace_seconds: float) -> None:
        """Take no new turns, let the running ones end; after the grace interrupt and store the rest."""
        self.is_draining = True
        with anyio.move_on_after(grace_seconds):
            hurry = asyncio.create_task(self._hurry.wait())
            running = asyncio.create_task(self._wait_for_readers())
            await asyncio.wait({hurry, running}, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        running.cancel()
        for generation in self._generations.values():
            generation.interrupt(TurnEnd.from_error(Draining(), "interrupted"))
        await self._wait_for_running(LAST_STORE_SECONDS)
        await cancel(self._tasks | self._rollbacks)

    def end_grace_period(self) -> None:
        """Let the grace of a drain be over."""
        self._hurry.set()

    def _refusal(self) -> ServiceError | None:
        """Why no turn may start here now."""
        if self.is_draining:
            return Draining()
        if len(self._generations) + self._starting >= self._max_active_turns:
            return Overloaded()
        return None

    async def _generation(self, turn: TurnRecord, question: Question, lease_until_ms: int) -> Generation:
        try:
            # A group: where one fails, none of the others may still write when the start is taken back.
            async with asyncio.TaskGroup() as group:
                history = group.create_task(self._history.messages(turn.user_id, turn.conversation_id))
                group.create_task(
                    self._journal.create(
                        turn.turn_id, turn.user_id, turn.conversation_id, lease_until_ms=lease_until_ms
                    )
                )
        except ExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from first.__cause__
        return Generation(
            TurnStream(turn.turn_id),
            turn,
            question,
            history.result(),
            llm=self._llm,
            prompts=self._prompts,
            running=self._running,
            journal=self._journal,
            writer=self._writer,
            closer=self._closer,
            metrics=self._metrics,
            tracing=self._tracing,
            store_retry_seconds=self._store_retry_seconds,
        )

    def _own(self, generation: Generation) -> None:
        turn_id = generation.turn.id
        self._generations[turn_id] = generation
        generation.turn.on_readers_changed = lambda: self._keeper.renew_soon(turn_id)
        task = asyncio.create_task(generation.run(), name=f"turn {turn_id}")
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._generations.pop(turn_id))
        task.add_done_callback(self._tasks.discard)

    def _roll_back(self, turn: TurnRecord) -> None:
        task = asyncio.create_task(self._admission.roll_back(turn))
        self._rollbacks.add(task)
        task.add_done_callback(self._rollbacks.discard)

    async def _with_status(self, generation: Generation, reader: Reader) -> Reader:
        try:
            await generation.wait_for_status(self._status_wait_seconds)
        except BaseException:
            reader.close()
            raise
        return reader

    async def _attach(self, turn_id: str) -> Reader:
        """Get what the turn's first request gets."""
        if (generation := self._generations.get(turn_id)) is not None:
            return await self._with_status(generation, generation.turn.open_reader())
        reader = await self.access.follow(turn_id)
        turn = reader.turn
        with anyio.move_on_after(self._status_wait_seconds):
            while not turn.is_committed and turn.end is None:
                await turn.changed()
        if turn.end is not None and turn.end.code is not None and not turn.is_committed:
            reader.close()
            raise error_for(turn.end.code, turn.end.message, turn_id=turn_id)
        return reader

    async def _wait_for_readers(self) -> None:
        """Until the turns that run here have ended, and those that run elsewhere and are read here."""
        await self._wait_for_running(None)
        while self._tail.followed_turns():  # noqa: ASYNC110 - once a process, and nobody else waits for it
            await asyncio.sleep(_POLL_SECONDS)

    async def _wait_for_running(self, seconds: float | None) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)


def _digest(idempotency_key: str | None) -> str:
    return "" if idempotency_key is None else hashlib.sha256(idempotency_key.encode()).hexdigest()
