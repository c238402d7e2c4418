"""Starts turns on this process, and drains them when the process stops."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable

import anyio

from app.clock import now_rfc3339
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
from app.models import TurnEnd, TurnRecord, TurnRequest, place_without_conversation
from app.prompts.sources import PromptSource
from app.store.faults import request_deadline
from app.store.history import HistoryRepository, RawBlock
from app.store.recent_turns import RecentTurns
from app.store.responses import ResponseRepository
from app.turns.admission import Admission
from app.turns.directory import TurnDirectory
from app.turns.generation import LAST_STORE_SECONDS, Generation
from app.turns.local_turns import LocalTurns
from app.turns.stream import Reader

_POLL_SECONDS = 0.1


class TurnEngine:
    """Starts turns, or attaches requests to turns that they have started before."""

    def __init__(
        self,
        turns: LocalTurns,
        *,
        admission: Admission,
        directory: TurnDirectory,
        history: HistoryRepository,
        responses: ResponseRepository,
        prompts_for: Callable[[TurnRequest, RecentTurns], PromptSource],
        new_generation: Callable[[TurnRecord, TurnRequest, PromptSource], Generation],
        max_active_turns: int,
        status_wait_seconds: float,
    ) -> None:
        """Start with no turn running.

        Args:
            turns: The registry into which started turns go.
            admission: Lets turns into their conversations.
            directory: Finds turns to follow, on any process.
            history: Reads conversations.
            responses: Stores the requests of responses.
            prompts_for: Chooses the source of a turn's prompt.
            new_generation: Makes the generation of a turn.
            max_active_turns: How many turns this process runs at once.
            status_wait_seconds: How long the HTTP status is held for the backend's first event.
        """
        self._turns = turns
        self._admission = admission
        self._directory = directory
        self._history = history
        self._responses = responses
        self._prompts_for = prompts_for
        self._new_generation = new_generation
        self._max_active_turns = max_active_turns
        self._status_wait_seconds = status_wait_seconds
        self._starting = 0
        self.is_draining = False
        self._grace_period_ended = asyncio.Event()

    async def start(self, request: TurnRequest, prompts: PromptSource | None = None) -> Reader:
        """Start a turn, or attach to the one that this request has started before. Its status is committed.

        Args:
            request: What is asked.
            prompts: Makes the turn's prompt; None: the request alone tells how.

        Raises:
            ServiceError: The turn could not be started, and has left nothing behind.
        """
        turn_id = secrets.token_hex(16)
        record = TurnRecord(
            turn_id=turn_id,
            user_id=request.user_id,
            conversation_id=request.conversation_id or place_without_conversation(turn_id),
            message=request.message,
            model=request.model,
            created_at=now_rfc3339(),
            request=_digest(request),
            scope=request.scope,
            response=request.response,
        )
        refusal = self._refusal()
        self._starting += 1
        try:
            async with request_deadline() as until:
                admitted = await self._admission.admit(
                    record, request, refusal=refusal, with_history=prompts is None and request.has_history
                )
                if admitted.outcome == "started":
                    generation = await self._prepare(record, request, prompts, admitted.history, until=until)
        except (RequestError, RateLimitError, Draining, Overloaded):
            raise  # nothing was begun
        except BaseException:
            # Redis may still execute the commands that it was sent; nothing of them may stay.
            self._admission.roll_back(record)
            raise
        finally:
            self._starting -= 1
        if admitted.outcome == "attached":
            try:
                return await self._attach(admitted.turn_id)
            except (TurnNotFound, TurnExpired, HistoryUnavailable):
                if await self._admission.has_started(record, request, admitted.turn_id):
                    raise
            # The turn to attach to was rolled back meanwhile, as if it had never been.
            return await self.start(request, prompts)
        if self.is_draining:  # the drain has begun meanwhile
            self._admission.roll_back(record)
            raise Draining
        reader = generation.stream.open_reader()
        reader.quota = admitted.quota
        reader.record = record
        self._turns.run(generation)
        if request.is_background:
            generation.stream.open_reader()  # it is never closed: the turn has a reader until it ends
            return await self._with_status(generation, reader, 0)
        return await self._with_status(generation, reader, self._status_wait_seconds)

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new turns and let running ones end. After the grace, interrupt and store the rest."""
        self.is_draining = True
        with anyio.move_on_after(grace_seconds):
            grace_ended = asyncio.create_task(self._grace_period_ended.wait())
            ended = asyncio.create_task(self._wait_for_followed_turns())
            await asyncio.wait({grace_ended, ended}, return_when=asyncio.FIRST_COMPLETED)
        grace_ended.cancel()
        ended.cancel()
        self._turns.interrupt_all(TurnEnd.from_error(Draining(), "interrupted"))
        await self._turns.wait(LAST_STORE_SECONDS)
        await self._turns.cancel()
        await self._admission.cancel_rollbacks()

    def end_grace_period(self) -> None:
        """End the grace of a drain now."""
        self._grace_period_ended.set()

    def _refusal(self) -> ServiceError | None:
        """Return why no turn may start on this process now, if so."""
        if self.is_draining:
            return Draining()
        if len(self._turns) + self._starting >= self._max_active_turns:
            return Overloaded()
        return None

    async def _prepare(
        self,
        record: TurnRecord,
        request: TurnRequest,
        prompts: PromptSource | None,
        newest: RawBlock | None,
        *,
        until: float,
    ) -> Generation:
        if record.response is not None:
            await self._responses.create(record)
        if prompts is None:
            history = self._history.recent_turns(
                record.user_id, record.conversation_id, until=until, first=newest
            )
            prompts = self._prompts_for(request, history)
        return self._new_generation(record, request, prompts)

    async def _with_status(self, generation: Generation, reader: Reader, wait_seconds: float) -> Reader:
        try:
            await generation.wait_for_status(wait_seconds)
        except BaseException:
            reader.close()
            raise
        return reader

    async def _attach(self, turn_id: str) -> Reader:
        """Give a repeated request what its first one gets."""
        if (generation := self._turns.get(turn_id)) is not None:
            return await self._with_status(
                generation, generation.stream.open_reader(), self._status_wait_seconds
            )
        reader = await self._directory.follow(turn_id)
        stream = reader.stream
        try:
            with anyio.move_on_after(self._status_wait_seconds):
                await stream.committed_or_ended()
        except BaseException:
            reader.close()
            raise
        if stream.end is not None and stream.end.code is not None and not stream.is_committed:
            reader.close()
            raise error_for(stream.end.code, stream.end.message, turn_id=turn_id)
        return reader

    async def _wait_for_followed_turns(self) -> None:
        """Wait until the turns of this process have ended, and the remote ones that are read here."""
        await self._turns.wait(None)
        while self._directory.followed_turns():  # noqa: ASYNC110 - once a process, no event exists for it
            await asyncio.sleep(_POLL_SECONDS)


def _digest(request: TurnRequest) -> str:
    """Digest the Idempotency-Key. One of another scope is another key: it must not reach this turn."""
    if request.idempotency_key is None:
        return ""
    key = f"{request.scope} {request.idempotency_key}" if request.scope else request.idempotency_key
    return hashlib.sha256(key.encode()).hexdigest()
