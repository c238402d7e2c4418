"""The LLM client: one request in, chunks out as they arrive."""

import asyncio
import random
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import httpx
import structlog
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.errors import ServiceError, UpstreamError
from app.llm.bodies import read_body, read_json_instead_of_stream
from app.llm.chunk import Chunk
from app.llm.completion_stream import read_completion_stream
from app.llm.context import ContextSizes
from app.llm.deadlines import Deadlines, TimeLimits
from app.llm.dialect import Dialect
from app.llm.endpoint import Endpoint
from app.llm.failures import (
    Unanswered,
    broken_off,
    failure_of,
    is_retryable,
    retry_after,
    unanswered,
)
from app.llm.http import BodyStream
from app.llm.redaction import redacted
from app.llm.refusals import MAX_BODY_BYTES, Refused, read
from app.llm.request import CompletionRequest
from app.llm.whole_completion import read_whole_completion
from app.llm.wordings import Meaning

_trace_context = TraceContextTextMapPropagator()
"""Passes `traceparent` on, and no baggage: what a client puts there is not the backend's."""
_REFUSAL_SECONDS = 2.0
_CLOSE_SECONDS = 1.0
_RETRY_SECONDS = (0.1, 0.3)
"""Range of the jittered pause before a retry, to avoid a thundering herd."""
_CODE = re.compile(r"[A-Za-z][\w.-]{0,63}|[0-9]{1,6}")
"""What is logged as a code: a backend can put anything there."""

_log = structlog.get_logger()


class LLMClient:
    """Streams completions of an OpenAI-compatible backend."""

    def __init__(self, endpoint: Endpoint, *, limits: TimeLimits, context_tokens: int | None = None) -> None:
        """Use an endpoint that the caller closes.

        Args:
            endpoint: Of the backend.
            limits: Of one answer.
            context_tokens: How many tokens the models' context holds; None: the backend is asked.
        """
        self._endpoint = endpoint
        self._limits = limits
        self.context_sizes = ContextSizes(endpoint, configured=context_tokens)
        self._dialects: dict[str, Dialect] = {}

    async def stream(
        self,
        request: CompletionRequest,
        on_chunks: Callable[[list[Chunk]], None],
        *,
        began: float,
        first_token_seconds: float | None = None,
        retries: bool = True,
    ) -> None:
        """Ask for a completion, until the answer is whole.

        Args:
            request: What is asked.
            on_chunks: Is handed the chunks; those that arrive together come together.
            began: When the first request for this answer was made, in the event loop's time.
            first_token_seconds: A limit in place of the usual one, since `began`.
            retries: Whether to ask again if the backend fails before its first byte.

        Raises:
            ServiceError: Upstream…, or ContextLengthExceeded. The message can be shown to a client.
        """
        limits = self._limits
        if not request.is_streamed:  # nothing comes before the end
            limits = replace(limits, first_token=limits.total)
        elif first_token_seconds is not None:
            limits = replace(limits, first_token=first_token_seconds)
        deadlines = Deadlines(limits, began)
        with deadlines.enforced():
            try:
                await self._negotiate(request, deadlines, on_chunks, retries=retries)
            except Unanswered as last:
                raise last.failure from last.cause
            except Refused as refused:
                raise self._failure(refused, request) from None

    async def probe(self) -> None:
        """Ask the backend for its models, and read no more than the status: many have no such list.

        Raises:
            ServiceError: The backend cannot be reached, or says that it is broken.
        """
        try:
            response = await self._endpoint.get("models")
        except httpx.RequestError as error:
            failed = unanswered(error)
            raise failed.failure from failed.cause
        await _close(response)
        if response.is_server_error:
            raise UpstreamError(f"The model's backend answered with status {response.status_code}.")

    async def _negotiate(
        self,
        request: CompletionRequest,
        deadlines: Deadlines,
        on_chunks: Callable[[list[Chunk]], None],
        *,
        retries: bool,
    ) -> None:
        """Ask in the dialect that this model is known to take, then in those that its refusals suggest."""
        known = dialect = self._dialects.get(request.model, Dialect())
        first: Refused | None = None
        while True:
            try:
                response = await self._open(dialect.write(request), retries=retries)
                self._dialects[request.model] = dialect
                try:
                    return await self._read(request, response, deadlines, on_chunks)
                finally:
                    await _close(response)
            except Refused as refused:
                if refused.has_begun:
                    raise
                self._dialects[request.model] = known
                if refused.refusal.meaning is Meaning.CONTEXT:
                    self.context_sizes.learn(request.model, refused.refusal.sentence)
                following = dialect.after(refused.refusal, request)
                if following is None:
                    # What the backend says of a name that was only a guess tells the client nothing.
                    is_about_guess = (
                        dialect.cap_name != known.cap_name and dialect.cap_name in refused.refusal.text
                    )
                    raise (first if first is not None and is_about_guess else refused) from None
                first, dialect = first or refused, following

    async def _read(
        self,
        request: CompletionRequest,
        response: httpx.Response,
        deadlines: Deadlines,
        on_chunks: Callable[[list[Chunk]], None],
    ) -> None:
        if request.is_streamed:
            await read_completion_stream(
                response, deadlines, on_chunks, max_tokens=request.bound, choices=request.choices
            )
        else:
            await read_whole_completion(response, on_chunks, seconds=self._limits.total)

    async def _open(self, body: dict[str, Any], *, retries: bool) -> httpx.Response:
        """Retry once before the backend's first byte: nothing has been generated by then."""
        try:
            return await self._post(body)
        except Unanswered as first:
            if not (retries and first.is_retryable):
                raise
        except Refused as first:
            if not (retries and is_retryable(first.refusal)):
                raise
        await asyncio.sleep(random.uniform(*_RETRY_SECONDS))  # noqa: S311 - no secret
        return await self._post(body)

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        headers: dict[str, str] = {}
        _trace_context.inject(headers)
        try:
            response = await self._endpoint.post("chat/completions", body, headers=headers)
        except httpx.RequestError as error:
            raise unanswered(error) from error
        is_stream = False
        try:
            if response.is_success and not body["stream"]:
                is_stream = True
                return response
            look = read_json_instead_of_stream if response.is_success else read_body
            said = await look(response, most=MAX_BODY_BYTES, seconds=_REFUSAL_SECONDS)
            is_stream = said is None
        finally:
            if not is_stream:
                await _close(response)
        if said is None:
            return response
        status = None if response.is_success else response.status_code
        raise Refused(read(said, status=status), retry_after=retry_after(response.headers))

    def _failure(self, refused: Refused, request: CompletionRequest) -> ServiceError:
        """Return what the client is told, and log what the operator has to know."""
        refusal = refused.refusal
        clean = partial(
            redacted, secrets=self._endpoint.secrets, hosts=[self._endpoint.host], prompt=[*request.texts()]
        )
        words = clean(refusal.sentence)
        if refused.has_begun:
            failure: ServiceError = broken_off(refusal, words)
        else:
            failure = failure_of(refusal, words, retry_after=refused.retry_after)
        log = _log.warning if failure.type == "server_error" else _log.info
        log(
            "backend refused a request",
            model=request.model,
            status=refusal.status,
            code=next(
                (code for code in refusal.codes if _CODE.fullmatch(code) and clean(code) == code), None
            ),
            meaning=refusal.meaning.value,
            reason=words or None,
        )
        return failure


async def _close(response: httpx.Response) -> None:
    """Let go of the connection, even while the turn is being cancelled."""
    if isinstance(response.stream, BodyStream):  # it waits for nothing
        response.stream.close()
        return
    with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
        await response.aclose()
