"""The LLM client: one request in, chunks out as they arrive."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import aiohttp
import anyio
import httpx
from httpx_aiohttp import AiohttpTransport
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.errors import ContextLengthExceeded
from app.llm.chunk import Chunk
from app.llm.completion_stream import read_completion_stream
from app.llm.context import ContextSizes
from app.llm.deadlines import Deadlines, TimeLimits
from app.llm.dialect import GUESSED_NAME, Dialect
from app.llm.failures import (
    TRANSPORT_ERRORS,
    AttemptFailed,
    Rejection,
    read_rejection,
    rejected,
    unanswered,
)

_trace_context = TraceContextTextMapPropagator()
"""Passes `traceparent` on, and no baggage: what a client puts there is not the backend's."""
_REJECTIONS = frozenset({400, 422})
_REJECTION_SECONDS = 2.0
_MAX_REJECTION_BYTES = 64 * 1024
_CLOSE_SECONDS = 1.0
_RETRY_SECONDS = (0.1, 0.3)
"""Between which two the pause before a retry is: not everybody comes back at once."""
_IDLE_CONNECTION_SECONDS = 4.0
"""Below the five seconds after which uvicorn, and so vLLM, closes an idle connection."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompletionRequest:
    """One request for a completion."""

    model: str
    messages: list[dict[str, str]]
    max_tokens: int
    sampling: dict[str, Any]

    def body(self) -> dict[str, Any]:
        """As OpenAI's `POST /chat/completions` takes it. Usage is always asked for."""
        return {
            **self.sampling,
            "model": self.model,
            "messages": self.messages,
            "max_tokens": self.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


def open_http_client(
    *, base_url: str, api_key: str, limits: TimeLimits, transport: httpx.AsyncBaseTransport | None = None
) -> httpx.AsyncClient:
    """The one HTTP client of the process; whoever opens it closes it.

    It follows no redirect, keeps no cookie and looks at no proxy variable, so that what is said to the
    backend reaches the backend alone.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        headers={
            # A compressed stream would be held back by whoever compresses it.
            "Accept-Encoding": "identity",
            **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
        },
        transport=transport or AiohttpTransport(client=_open_session),
        # A cookie of the backend would be sent with the next user's request.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        # The pool's limit is the only one that also bounds the look-up of the host's name; reads are
        # bounded by the deadlines on content.
        timeout=httpx.Timeout(None, connect=limits.connect, pool=limits.connect),
        trust_env=False,
        follow_redirects=False,
    )


def _open_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_IDLE_CONNECTION_SECONDS, ssl=httpx.create_ssl_context()
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class LLMClient:
    """Streams completions of an OpenAI-compatible backend."""

    def __init__(
        self, http: httpx.AsyncClient, *, limits: TimeLimits, context_tokens: int | None = None
    ) -> None:
        """Use a client that somebody else closes.

        Args:
            http: With the backend's base URL.
            limits: Of one answer.
            context_tokens: How many tokens the models' context holds; None: the backend is asked.
        """
        self._http = http
        self._limits = limits
        self.context_sizes = ContextSizes(http, configured=context_tokens)
        self._dialects: dict[str, Dialect] = {}

    async def stream(
        self, request: CompletionRequest, on_chunks: Callable[[list[Chunk]], None], *, began: float
    ) -> None:
        """Ask for a completion, until the answer is whole.

        Args:
            request: What is asked.
            on_chunks: Is handed the chunks; those that arrive together come together.
            began: When the first request for this answer was made, in the event loop's time.

        Raises:
            ServiceError: Upstream…, or ContextLengthExceeded. The message can be shown to a client.
        """
        deadlines = Deadlines(self._limits, began)
        with deadlines.enforced():
            try:
                response = await self._open(request)
            except AttemptFailed as last:
                raise last.failure from last.__cause__
            try:
                await read_completion_stream(response, deadlines, on_chunks, max_tokens=request.max_tokens)
            finally:
                await _close(response)

    async def probe(self) -> None:
        """Ask the backend for its models.

        Raises:
            ServiceError: It cannot be reached, or does not answer with success.
        """
        try:
            response = await self._http.get("/models")
        except TRANSPORT_ERRORS as error:
            raise unanswered(error).failure from error
        if not response.is_success:
            raise rejected(response.status_code, response.headers, read_rejection(b"")).failure

    async def _open(self, request: CompletionRequest) -> httpx.Response:
        """One retry, and only before the backend's first byte: nothing has been generated by then."""
        try:
            return await self._negotiate(request)
        except AttemptFailed as first:
            if not first.is_retryable:
                raise
        await asyncio.sleep(random.uniform(*_RETRY_SECONDS))  # noqa: S311 - no secret
        return await self._negotiate(request)

    async def _negotiate(self, request: CompletionRequest) -> httpx.Response:
        """Ask in the dialect that this model is known to take, then in those that its refusals suggest."""
        dialect = self._dialects.get(request.model, Dialect())
        first: AttemptFailed | None = None
        while True:
            response = await self._post(dialect.write(request.body()))
            if response.is_success:
                self._dialects[request.model] = dialect
                return response
            rejection = await self._read_rejection(response)
            failed = rejected(response.status_code, response.headers, rejection)
            if isinstance(failed.failure, ContextLengthExceeded):
                self.context_sizes.learn(request.model, rejection.words)
                raise failed
            following = dialect.after_rejection(rejection)
            if following is None:
                # What it says of a name that was only a guess tells the client nothing.
                raise first if first is not None and GUESSED_NAME in rejection.text else failed
            first, dialect = first or failed, following

    async def _read_rejection(self, response: httpx.Response) -> Rejection:
        """What a backend says that does not take a request; nothing where the status says all."""
        body = b""
        try:
            async with asyncio.timeout(_REJECTION_SECONDS):
                if response.status_code in _REJECTIONS:
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > _MAX_REJECTION_BYTES:
                            break
        except (TimeoutError, *TRANSPORT_ERRORS):
            pass  # what has come is all that there is
        finally:
            await _close(response)
        key = self._http.headers.get("Authorization", "").removeprefix("Bearer ")
        return read_rejection(body.replace(key.encode(), b"") if key else body)

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        headers: dict[str, str] = {}
        _trace_context.inject(headers)
        try:
            return await self._http.send(
                self._http.build_request("POST", "/chat/completions", json=body, headers=headers),
                stream=True,
            )
        except TRANSPORT_ERRORS as error:
            raise unanswered(error) from error


async def _close(response: httpx.Response) -> None:
    """Let go of the connection, also where the turn is being cut."""
    with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
        await response.aclose()
