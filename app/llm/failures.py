"""Turns what a backend refuses, and what goes wrong on the way to it, into the service's errors."""

import re
import ssl
import time
from email.utils import parsedate_to_datetime
from math import ceil

import httpx

from app.errors import (
    ContextLengthExceeded,
    ServiceError,
    UpstreamError,
    UpstreamFiltered,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamUnavailable,
)
from app.llm.http import FailedAgain, InvalidResponse
from app.llm.refusals import Refusal
from app.llm.wordings import Meaning

MAX_RETRY_AFTER_SECONDS = 60

_REJECTIONS = frozenset({400, 422})
_UNREADY = 503
_RETRYABLE_STATUS = frozenset({502, 503, 504})
_MAX_CAUSES = 10
_EXPIRED = 10
_OTHER_NAME = frozenset({62, 64})
"""OpenSSL's codes for a certificate that has expired, and for one of another host or address."""


class Unanswered(Exception):
    """No response came; `failure` is what that comes to if nothing is tried again."""

    def __init__(self, failure: ServiceError, cause: BaseException, *, is_retryable: bool) -> None:
        super().__init__()
        self.failure = failure
        self.cause = cause
        self.is_retryable = is_retryable


def unanswered(error: Exception) -> Unanswered:
    """Classify a transport's error before the response's head."""
    if tls := [each for each in _causes(error) if isinstance(each, ssl.SSLError)]:
        # The innermost one has OpenSSL's code.
        return Unanswered(UpstreamUnavailable(_tls_failure(tls[-1])), tls[-1], is_retryable=False)
    match error:
        case httpx.TimeoutException():
            failure: ServiceError = UpstreamUnavailable("The model's backend took too long to connect.")
            return Unanswered(failure, error, is_retryable=False)
        case httpx.ProxyError():
            failure = UpstreamUnavailable(
                "The proxy in front of the model's backend let no connection through."
            )
            return Unanswered(failure, error, is_retryable=False)
        case httpx.ConnectError():
            return Unanswered(UpstreamUnavailable(), error, is_retryable=True)
        case InvalidResponse():
            failure = UpstreamError("The model's backend answered with something that is not HTTP.")
            return Unanswered(failure, error, is_retryable=False)
        case _:
            failure = UpstreamError("The model's backend closed the connection without an answer.")
            return Unanswered(failure, error, is_retryable=not isinstance(error, FailedAgain))


def _causes(error: BaseException) -> list[BaseException]:
    """Return the error and what caused it, the outermost first."""
    causes: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in causes and len(causes) < _MAX_CAUSES:
        causes.append(following)
        following = following.__cause__ or following.__context__
    return causes


def _tls_failure(error: ssl.SSLError) -> str:
    """Say what is wrong with the TLS connection, and how an operator can mend it."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return "The model's backend does not speak TLS, or not a version of it that is known here."
    match getattr(error, "verify_code", None):
        case code if code == _EXPIRED:
            return "The certificate of the model's backend has expired."
        case code if code in _OTHER_NAME:
            return "The certificate of the model's backend is for another host."
        case _:
            return (
                "The certificate of the model's backend is not trusted. SSL_CERT_FILE can name a file with "
                "the certificate of the authority that issued it."
            )


def is_retryable(refusal: Refusal) -> bool:
    """Whether the same request may pass a moment later: a gateway's status, and no word against it."""
    return refusal.status in _RETRYABLE_STATUS and refusal.meaning in (Meaning.BUSY, Meaning.OTHER)


def failure_of(refusal: Refusal, words: str, *, retry_after: int | None) -> ServiceError:
    """Return what a client is told of a refusal.

    Args:
        refusal: The refusal, before any content.
        words: The backend's sentence, cleaned; empty if it sent none.
        retry_after: The seconds to wait, if the backend named them.
    """
    match refusal.meaning:
        case Meaning.CONTEXT:
            return ContextLengthExceeded("The conversation does not fit the model's context.")
        case Meaning.BUSY if refusal.status == _UNREADY:
            return UpstreamUnavailable("The model's backend is not ready.", retry_after=retry_after)
        case Meaning.BUSY:
            return UpstreamRateLimited(retry_after=retry_after)
        case Meaning.CONTENT | Meaning.UNSUPPORTED:
            kind = UpstreamFiltered if refusal.meaning is Meaning.CONTENT else UpstreamRejected
        case Meaning.OTHER if refusal.status in _REJECTIONS:
            kind = UpstreamRejected
        case _:
            return broken_off(refusal, words)
    return kind(_told("The model's backend rejected the request", words))


def broken_off(refusal: Refusal, words: str) -> UpstreamError:
    """Return what a client is told of a backend's failure that nothing in the request can mend."""
    what = f"answered with status {refusal.status}" if refusal.status else "failed"
    return UpstreamError(_told(f"The model's backend {what}", words))


def _told(what: str, words: str) -> str:
    if not words:
        return f"{what}."
    return f"{what}: {words}"


def retry_after(headers: httpx.Headers) -> int | None:
    """Return whole seconds, from either form of RFC 9110, 10.2.3."""
    value = headers.get("retry-after", "")
    try:
        is_delay = re.fullmatch(r"[0-9]{1,9}", value)
        seconds = int(value) if is_delay else ceil(parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 1), MAX_RETRY_AFTER_SECONDS)
