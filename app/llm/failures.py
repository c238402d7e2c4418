"""Turns what a backend or the way to it did wrong into the service's errors."""

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import ceil
from typing import Any

import aiohttp
import httpx
import msgspec

from app.errors import (
    ContextLengthExceeded,
    ServiceError,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)

TRANSPORT_ERRORS = (httpx.RequestError, aiohttp.ClientError)
"""What the transport raises; httpx-aiohttp lets the rarer ones of aiohttp through unmapped."""

MAX_RETRY_AFTER_SECONDS = 60

_MAX_DETAIL_CHARS = 300
_MAX_MATCHED_CHARS = 4000
# Addresses and paths are left out of a backend's words; a page, a stack trace or control characters make all
# of them unfit to be told.
_INTERNALS = re.compile(r"\S+://\S+|[\w.-]+:\d{2,5}\S*|(?<!\w)(?:/[\w.-]+){2,}")
_UNFIT = re.compile(r"<[a-z!/]|Traceback|[\x00-\x08\x0e-\x1f\x7f]", re.IGNORECASE)
_CONTEXT_LENGTH = re.compile(
    r"context.{0,3}(length|size|window)|exceed.{0,40}context|(prompt|input) is too long|reduce the length"
    # vLLM's other words, then those of Text Generation Inference and Gemini
    r"|maximum model length|max_model_len|max_tokens must be at least 1"
    r"|max_new_tokens. must be|maximum number of tokens",
    re.IGNORECASE,
)
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error"})
_RETRYABLE_STATUS = frozenset({502, 503, 504})


class AttemptFailed(Exception):
    """An attempt that came to no stream, and what it comes to if it is the last."""

    def __init__(self, failure: ServiceError, *, is_retryable: bool) -> None:
        super().__init__()
        self.failure = failure
        self.is_retryable = is_retryable


def unanswered(error: Exception) -> AttemptFailed:
    """Classify a transport's error before the response's head.

    httpx-aiohttp reports a refused connection, an unresolvable host and a reset alike as `ConnectTimeout`;
    its cause tells them apart.
    """
    cause = error.__cause__ if isinstance(error.__cause__, aiohttp.ClientError) else error
    if isinstance(cause, aiohttp.ServerTimeoutError | httpx.TimeoutException):
        return AttemptFailed(
            UpstreamUnavailable("The model's backend took too long to connect."), is_retryable=False
        )
    if isinstance(cause, aiohttp.ClientConnectorError | httpx.ConnectError):
        return AttemptFailed(UpstreamUnavailable(), is_retryable=True)
    if isinstance(cause, aiohttp.ClientResponseError):
        return AttemptFailed(
            UpstreamError("The model's backend answered with something that is no HTTP."), is_retryable=False
        )
    return AttemptFailed(
        UpstreamError("The model's backend closed the connection without an answer."), is_retryable=True
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejection:
    """What a backend says that does not take a request."""

    words: str
    """Its own message; empty: it sent none that can be told from a page."""
    text: str
    """All of it, to look for names in."""
    codes: frozenset[str]
    """Its code, type and parameter."""

    @property
    def is_of_context(self) -> bool:
        """Whether it says that the prompt, or the prompt and the answer, are too long."""
        return bool(self.codes & _CONTEXT_CODES or _CONTEXT_LENGTH.search(self.words))


def read_rejection(body: bytes) -> Rejection:
    """Find the words where OpenAI, vLLM, Ollama and FastAPI put them."""
    text = body.decode("utf-8", "replace")[:_MAX_MATCHED_CHARS]
    try:
        said: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return Rejection(words="", text=text, codes=frozenset())
    codes: set[str] = set()
    for name in ("error", "message", "detail"):
        if isinstance(said, dict):
            codes |= {value for key in ("code", "type", "param") if isinstance(value := said.get(key), str)}
            said = said.get(name, said)
    if isinstance(said, list):
        said = "; ".join(_field_error(item) for item in said if isinstance(item, dict))
    return Rejection(words=said if isinstance(said, str) else "", text=text, codes=frozenset(codes))


def rejected(status: int, headers: httpx.Headers, rejection: Rejection) -> AttemptFailed:
    """Classify an answer that is no stream by its HTTP status."""
    return AttemptFailed(_failure(status, headers, rejection), is_retryable=status in _RETRYABLE_STATUS)


def _field_error(item: dict[str, Any]) -> str:
    where = item.get("loc")
    return f"{'.'.join(map(str, where)) if isinstance(where, list) else where}: {item.get('msg')}"


def _failure(status: int, headers: httpx.Headers, rejection: Rejection) -> ServiceError:
    match status:
        case 400 | 422 if rejection.is_of_context:
            return ContextLengthExceeded("The conversation does not fit the model's context.")
        case 400 | 422:
            words = _tellable(rejection.words)
            return UpstreamRejected(f"The model's backend rejected the request: {words}" if words else None)
        case 429:
            return UpstreamRateLimited(retry_after=_retry_after(headers))
        case 503:
            return UpstreamUnavailable("The model's backend is not ready.", retry_after=_retry_after(headers))
        case _:
            return UpstreamError(f"The model's backend answered with status {status}.")


def _tellable(words: str) -> str:
    if _UNFIT.search(words):
        return ""
    return " ".join(_INTERNALS.sub("", words).split())[:_MAX_DETAIL_CHARS]


def _retry_after(headers: httpx.Headers) -> int | None:
    """Whole seconds, from either form of RFC 9110, 10.2.3."""
    value = headers.get("retry-after", "")
    try:
        is_delay = re.fullmatch(r"[0-9]{1,9}", value)
        seconds = int(value) if is_delay else ceil(parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 1), MAX_RETRY_AFTER_SECONDS)
