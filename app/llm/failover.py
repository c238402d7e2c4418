"""Asks one backend after the other until content comes. Once it has come, nothing is repeated."""

from collections.abc import Callable
from dataclasses import replace
from math import ceil

import structlog

from app.clock import now
from app.errors import ServiceError, UpstreamRateLimited
from app.llm.backends import Backend, Backends
from app.llm.chunk import Chunk
from app.llm.deadlines import TimeLimits
from app.llm.request import CompletionRequest

_MAX_ATTEMPTS = 3
_BUSY_SECONDS = 2
"""How long a backend is not asked after a 429 that names no time."""

OnChunks = Callable[[list[Chunk]], None]

_log = structlog.get_logger()


class Failover:
    """Streams completions of whichever backend is the first to send content."""

    def __init__(
        self, backends: Backends, *, limits: TimeLimits, on_outcome: Callable[[str, str], None]
    ) -> None:
        """Use backends whose clients their caller closes.

        Args:
            backends: All of them.
            limits: Of one answer, over all attempts.
            on_outcome: Is told of each attempt that has ended: the backend's name, and `complete`,
                `cancelled` or the error's code.
        """
        self._backends = backends
        self._limits = limits
        self._on_outcome = on_outcome

    async def stream(
        self,
        request: CompletionRequest,
        on_chunks: OnChunks,
        *,
        began: float,
        on_attempt: Callable[[Backend], None],
    ) -> None:
        """Ask for a completion, until the answer is whole.

        Args:
            request: What is asked, with the model's offered name.
            on_chunks: Is handed the chunks; those that arrive together come together.
            began: When the first request for this answer was made, in the event loop's time.
            on_attempt: Is handed the backend that is asked now.

        Raises:
            ServiceError: As `LLMClient.stream` raises it: the last attempt's.
        """
        offering = self._backends.offering(request.model)
        if len(offering) == 1:
            on_attempt(offering[0])
            await self._ask(offering[0], request, on_chunks, began)
            return
        order = self._backends.in_order(request.model, request.affinity)[:_MAX_ATTEMPTS]
        if not order:
            soonest = min(each.busy_until for each in offering)
            raise UpstreamRateLimited(retry_after=max(1, ceil(soonest - now())))
        for left in range(len(order), 0, -1):
            backend = order[len(order) - left]
            on_attempt(backend)
            attempt = _Attempt(backend, request.model, on_chunks, holds=left > 1)
            try:
                with attempt:
                    await self._ask(
                        backend, request, attempt.relay, began, first_token=self._time_for(began, left)
                    )
            except ServiceError as failure:
                is_over = now() >= began + min(self._limits.first_token, self._limits.total)
                if attempt.has_content or not _is_backends_own(failure) or left == 1 or is_over:
                    raise
                _log.warning(
                    "asking another backend", backend=backend.name, model=request.model, code=failure.code
                )
            else:
                return

    def _time_for(self, began: float, left: int) -> float | None:
        """Return the limit of the first token since `began`: an equal part of what is left, or all of it."""
        if left == 1:
            return None
        rest = began + self._limits.first_token - now()
        return now() - began + max(rest, 0) / left

    async def _ask(
        self,
        backend: Backend,
        request: CompletionRequest,
        on_chunks: OnChunks,
        began: float,
        *,
        first_token: float | None = None,
    ) -> None:
        own = replace(request, model=backend.models.get(request.model, request.model))
        backend.running += 1
        outcome = "cancelled"
        is_alone = len(self._backends.offering(request.model)) == 1
        try:
            await backend.client.stream(
                own, on_chunks, began=began, first_token_seconds=first_token, retries=is_alone
            )
            outcome = "complete"
        except ServiceError as failure:
            outcome = failure.code
            raise
        finally:
            backend.running -= 1
            self._on_outcome(backend.name, outcome)


class _Attempt:
    """One backend's try: holds back what is no content, and tells the breaker how it went."""

    def __init__(self, backend: Backend, model: str, on_chunks: OnChunks, *, holds: bool) -> None:
        self._backend = backend
        self._breaker = backend.breaker(model)
        self._on_chunks = on_chunks
        self._holds = holds
        self._held: list[Chunk] = []
        self._is_probe = False
        self.has_content = False

    def __enter__(self) -> None:
        self._is_probe = self._breaker.begin()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if self.has_content:
            return
        if isinstance(error, UpstreamRateLimited):
            self._backend.busy_until = now() + (error.retry_after or _BUSY_SECONDS)
        if isinstance(error, ServiceError) and error.type == "server_error":
            self._breaker.fail(is_probe=self._is_probe)
        else:
            self._breaker.give_up(is_probe=self._is_probe)

    def relay(self, chunks: list[Chunk]) -> None:
        """Pass chunks on; those before the first content only once it has come, if there is a next one."""
        if self.has_content:
            self._on_chunks(chunks)
        elif any(each.has_content or each.finish_reason is not None for each in chunks):
            self.has_content = True
            self._breaker.succeed()
            self._on_chunks([*self._held, *chunks])
            self._held.clear()
        elif self._holds:
            self._held += chunks
        else:
            self._on_chunks(chunks)


def _is_backends_own(failure: ServiceError) -> bool:
    """Whether another backend may do better: the request itself was not refused."""
    return failure.type == "server_error" or isinstance(failure, UpstreamRateLimited)
