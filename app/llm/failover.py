"""Asks one backend after the other until content comes. Once it has come, nothing is repeated."""

from collections.abc import Callable
from math import ceil
from typing import Protocol

import structlog
from msgspec.structs import replace

from app.clock import now
from app.errors import ServiceError, UpstreamRateLimited
from app.llm.backends import Backend, Backends
from app.llm.chunk import Chunk
from app.llm.deadlines import TimeLimits
from app.llm.finish import is_finish
from app.llm.request import CompletionRequest

_MAX_ATTEMPTS = 3
_BUSY_SECONDS = 2
"""How long a backend is not asked after a 429 that names no time."""

OnChunks = Callable[[list[Chunk]], None]

_log = structlog.get_logger()


class AttemptObserver(Protocol):
    """Counts and times the requests to each backend."""

    def content_began(self, backend: str, seconds: float) -> None:
        """Take in how long a backend's first content took."""

    def attempt_ended(self, backend: str, outcome: str) -> None:
        """Take in how a request ended: `complete`, `cancelled` or the error's code."""


class Failover:
    """Streams completions of the first backend that sends content."""

    def __init__(self, backends: Backends, *, limits: TimeLimits, observer: AttemptObserver) -> None:
        """Use backends whose clients the caller closes.

        Args:
            backends: All backends.
            limits: Of one answer, over all attempts.
            observer: Is told of each attempt.
        """
        self._backends = backends
        self._limits = limits
        self._observer = observer

    async def stream(
        self,
        request: CompletionRequest,
        on_chunks: OnChunks,
        *,
        began: float,
        on_attempt: Callable[[Backend], None],
    ) -> Backend:
        """Ask for a completion, until the answer is whole; return the backend that gave it.

        Args:
            request: What is asked, with the model's offered name.
            on_chunks: Is handed the chunks; those that arrive together come together.
            began: When the first request for this answer was made, in the event loop's time.
            on_attempt: Is handed the backend that is asked now.

        Raises:
            ServiceError: As `LLMClient.stream` raises it: the last attempt's.
        """
        order = self._backends.in_order(request.model, request.affinity)[:_MAX_ATTEMPTS]
        if not order:
            raise self._all_are_busy(request.model)
        is_alone = len(order) == 1
        while True:
            backend, *rest = order
            on_attempt(backend)
            # It stays bound: what the turn's task logs from here on is about this backend's answer.
            structlog.contextvars.bind_contextvars(backend=backend.name)
            attempt = _Attempt(backend, request.model, on_chunks, self._observer, holds=bool(rest))
            try:
                with attempt:
                    await backend.client.stream(
                        replace(request, model=backend.models[request.model]),
                        attempt.relay,
                        began=began,
                        # A completion that is not streamed has its first token at its end.
                        first_token_seconds=self._share(began, len(order)) if request.is_streamed else None,
                        retries=is_alone,
                    )
            except ServiceError as failure:
                is_final = attempt.has_content or not _is_backends_own(failure) or self._left(began) <= 0
                if is_final or not rest:
                    raise
                _log.warning(
                    "failed over before content",
                    model=request.model,
                    backend=backend.name,
                    code=failure.code,
                    following=rest[0].name,
                )
                order = rest
            else:
                return backend

    def _all_are_busy(self, model: str) -> UpstreamRateLimited:
        soonest = min(each.busy_until for each in self._backends.offering(model))
        return UpstreamRateLimited(retry_after=max(1, ceil(soonest - now())))

    def _left(self, began: float) -> float:
        """Return how many seconds are left for the first token."""
        return began + min(self._limits.first_token, self._limits.total) - now()

    def _share(self, began: float, backends: int) -> float | None:
        """Return the limit of the first token since `began`; None: the whole."""
        return None if backends == 1 else now() - began + self._left(began) / backends


class _Attempt:
    """The request to one backend. Holds back what is no content, and tells the breaker how it went."""

    def __init__(
        self, backend: Backend, model: str, on_chunks: OnChunks, observer: AttemptObserver, *, holds: bool
    ) -> None:
        self._backend = backend
        self._breaker = backend.breakers[model]
        self._on_chunks = on_chunks
        self._observer = observer
        self._holds = holds
        self._held: list[Chunk] = []
        self._is_probe = False
        self._started_at = now()
        self.has_content = False

    def __enter__(self) -> None:
        self._is_probe = self._breaker.begin()
        self._backend.running += 1

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._backend.running -= 1
        outcome = "complete" if error is None else "cancelled"
        self._observer.attempt_ended(
            self._backend.name, error.code if isinstance(error, ServiceError) else outcome
        )
        if not self.has_content:
            self._judge(error)

    def relay(self, chunks: list[Chunk]) -> None:
        """Pass chunks on. Hold back those before the first content if there is a next backend."""
        if self.has_content:
            self._on_chunks(chunks)
        elif any(map(_is_content, chunks)):
            self.has_content = True
            self._breaker.succeed()
            self._observer.content_began(self._backend.name, now() - self._started_at)
            self._on_chunks([*self._held, *chunks])
        elif self._holds:
            self._held += chunks
        else:
            self._on_chunks(chunks)

    def _judge(self, error: BaseException | None) -> None:
        """Take in what a request without content tells of the backend."""
        if isinstance(error, UpstreamRateLimited):
            self._backend.busy_until = now() + (error.retry_after or _BUSY_SECONDS)
        if isinstance(error, ServiceError) and error.type == "server_error":
            self._breaker.fail(is_probe=self._is_probe)
        else:
            self._breaker.give_up(is_probe=self._is_probe)


def _is_content(chunk: Chunk) -> bool:
    """Whether the answer has begun, or has ended without any content."""
    return chunk.has_content or (chunk.finish_reason is not None and is_finish(chunk.finish_reason))


def _is_backends_own(failure: ServiceError) -> bool:
    """Whether another backend may do better: the request itself was not refused."""
    return failure.type == "server_error" or isinstance(failure, UpstreamRateLimited)
