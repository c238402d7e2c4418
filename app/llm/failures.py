"""Turns what a backend or the way to it did wrong into the service's errors."""

import re
import time
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
_URL = re.compile(r"\S+://\S+")
_CONTEXT_LENGTH = re.compile(
    r"context.{0,3}(length|size|window)|exceed.{0,40}context|(prompt|input) is too long|reduce the length"
    # vLLM's other words
    r"|maximum model length|max_model_len|max_tokens must be at least 1",
    re.IGNORECASE,
)
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


def rejected(status: int, headers: httpx.Headers, body: bytes) -> AttemptFailed:
    """Classify an answer that is no stream by its HTTP status."""
    return AttemptFailed(_failure(status, headers, body), is_retryable=status in _RETRYABLE_STATUS)


def rejection_text(body: bytes) -> str:
    """The backend's own words, from where OpenAI, vLLM, Ollama and FastAPI put them; else nothing."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    for name in ("error", "message", "detail"):
        if isinstance(said, dict) and name in said:
            said = said[name]
    if isinstance(said, list):
        return "; ".join(_field_error(item) for item in said if isinstance(item, dict))
    return said if isinstance(said, str) else ""


def _field_error(item: dict[str, Any]) -> str:
    where = item.get("loc")
    return f"{'.'.join(map(str, where)) if isinstance(where, list) else where}: {item.get('msg')}"


def _failure(status: int, headers: httpx.Headers, body: bytes) -> ServiceError:
    match status:
        case 400 | 422:
            return _rejected(rejection_text(body))
        case 429:
            return UpstreamRateLimited(retry_after=_retry_after(headers))
        case 503:
            return UpstreamUnavailable("The model's backend is not ready.", retry_after=_retry_after(headers))
        case _:
            return UpstreamError(f"The model's backend answered with status {status}.")


def _rejected(text: str) -> ServiceError:
    if _CONTEXT_LENGTH.search(text):
        return ContextLengthExceeded("The conversation does not fit the model's context.")
    text = " ".join(_URL.sub("", text).split())[:_MAX_DETAIL_CHARS]
    return UpstreamRejected(f"The model's backend rejected the request: {text}" if text else None)


def _retry_after(headers: httpx.Headers) -> int | None:
    """Whole seconds, from either form of RFC 9110, 10.2.3."""
    value = headers.get("retry-after", "")
    try:
        is_delay = re.fullmatch(r"[0-9]{1,9}", value)
        seconds = int(value) if is_delay else ceil(parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
    return min(max(seconds, 1), MAX_RETRY_AFTER_SECONDS)
