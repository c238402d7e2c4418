"""Renders errors: the status, the headers and the one body."""

from collections.abc import Mapping
from http import HTTPMethod, HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from app import errors
from app.api.schemas import ErrorBody
from app.errors import ServiceError
from app.quota import Quota
from app.responses.errors import (
    ItemNotFound,
    PreviousResponseNotFound,
    ResponseNotFound,
    UnsupportedValue,
)
from app.service import Service

STATUS: Mapping[type[ServiceError], int] = {
    errors.InvalidHttp: 400,
    errors.InvalidJson: 400,
    errors.ContextLengthExceeded: 400,
    errors.UpstreamRejected: 400,
    errors.InvalidLastEventId: 400,
    PreviousResponseNotFound: 400,
    UnsupportedValue: 400,
    errors.InvalidApiKey: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.ModelNotFound: 404,
    errors.TurnNotFound: 404,
    ResponseNotFound: 404,
    ItemNotFound: 404,
    errors.ConversationNotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.RequestTimeout: 408,
    errors.ConversationBusy: 409,
    errors.TurnExpired: 410,
    errors.BodyTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.MisdirectedRequest: 421,
    errors.ValidationFailed: 422,
    errors.ModelNotAllowed: 422,
    errors.IdempotencyKeyReused: 422,
    errors.RateLimited: 429,
    errors.TooManyTurns: 429,
    errors.TooManyConversations: 429,
    errors.UpstreamRateLimited: 429,
    errors.InternalError: 500,
    errors.UpstreamError: 502,
    errors.UpstreamTruncated: 502,
    errors.HistoryUnavailable: 503,
    errors.UpstreamUnavailable: 503,
    errors.Draining: 503,
    errors.Overloaded: 503,
    errors.Interrupted: 503,
    errors.GenerationLost: 503,
    errors.ConversationDeleted: 503,
    errors.UpstreamTimeout: 504,
}

_MAX_PARAM_CHARS = 100
_RETRYABLE = frozenset({429, 503})
_RETRY_AFTER_SECONDS = 2
"""The Retry-After of an error that does not bring its own."""

_log = structlog.get_logger()

_CLIENT_CLOSED_REQUEST = 499
"""The status that nginx logs for a client that has left; no client reads it."""

_OPENAI_STATUS = {422: 400}
"""Statuses of `/v1` that are not those of the other routes."""

_BY_HTTP_STATUS: Mapping[int, type[ServiceError]] = {
    400: errors.InvalidJson,
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
}
"""The errors that the framework raises by status alone."""


class BodyRefused(HTTPException):
    """A body that is not read to its end, for this reason.

    While FastAPI reads a body, it passes on no exception but its own.
    """

    def __init__(self, reason: ServiceError) -> None:
        # The rest of the body is not read, so no other request can follow on this connection.
        super().__init__(STATUS[type(reason)], headers={"Connection": "close"})
        self.reason = reason


START_ERRORS: tuple[type[ServiceError], ...] = (
    errors.MisdirectedRequest,
    errors.InvalidJson,
    errors.ContextLengthExceeded,
    errors.UpstreamRejected,
    errors.InvalidApiKey,
    errors.Forbidden,
    errors.TurnNotFound,
    errors.RequestTimeout,
    errors.TurnExpired,
    errors.BodyTooLarge,
    errors.UnsupportedMediaType,
    errors.RateLimited,
    errors.TooManyTurns,
    errors.UpstreamRateLimited,
    errors.InternalError,
    errors.UpstreamError,
    errors.HistoryUnavailable,
    errors.UpstreamUnavailable,
    errors.Draining,
    errors.Overloaded,
    errors.UpstreamTimeout,
)
"""What every request may be answered with that starts a turn."""


def openapi_responses(*raised: type[ServiceError]) -> dict[int | str, dict[str, Any]]:
    """Describe the errors that a route may answer with, and the one that any request may get."""
    by_status: dict[int | str, dict[str, Any]] = {}
    always: type[ServiceError] = errors.InvalidHttp
    for error in sorted({always, *raised}, key=lambda error: (STATUS[error], error.code)):
        entry = by_status.setdefault(STATUS[error], {"model": ErrorBody, "description": ""})
        entry["description"] += f"{' · ' if entry['description'] else ''}`{error.code}`"
        if STATUS[error] in _RETRYABLE:
            entry["headers"] = {"Retry-After": {"required": True, "schema": {"type": "integer"}}}
    return by_status


def error_json(error: ServiceError, request_id: str, *, turn_id: str | None = None) -> bytes:
    """Encode the error's one body, on one line."""
    detail: dict[str, str | None] = {
        "message": error.message,
        "type": error.type,
        "code": error.code,
        "param": error.param,
        "request_id": request_id,
    }
    if turn_id := turn_id or error.turn_id:
        detail["turn_id"] = turn_id
    return msgspec.json.encode({"error": detail})


def add_error_handlers(app: FastAPI) -> None:
    """Render every error of a route, of the framework and of the service in the one shape."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(BodyRefused, _body_refused)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientDisconnect, _client_left)
    app.add_exception_handler(Exception, _defect)


def error_response(
    error: ServiceError,
    request_id: str,
    headers: Mapping[str, str] | None = None,
    *,
    is_openai: bool = False,
) -> Response:
    """Make the answer to a request that failed."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if is_openai:
        status = _OPENAI_STATUS.get(status, status)
    extra = {"X-Request-Id": request_id, "Cache-Control": "no-store"}
    if retry_after := error.retry_after or (_RETRY_AFTER_SECONDS if status in _RETRYABLE else None):
        extra["Retry-After"] = str(retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = "Bearer"
    if is_openai and status == HTTPStatus.CONFLICT:
        extra["X-Should-Retry"] = "false"  # otherwise OpenAI's SDKs repeat the request
    if error.quota is not None:
        extra |= quota_headers(error.quota)
    return Response(
        error_json(error, request_id),
        status_code=status,
        media_type="application/json",
        headers={**(headers or {}), **extra},
    )


def quota_headers(quota: Quota) -> Mapping[str, str]:
    """Make RateLimit and RateLimit-Policy as draft-ietf-httpapi-ratelimit-headers-10 has them."""
    return {
        "RateLimit-Policy": f'"turns";q={quota.limit};w={quota.window_seconds}',
        "RateLimit": f'"turns";r={quota.remaining};t={quota.reset_seconds}',
    }


def respond(scope: Scope, error: ServiceError, headers: Mapping[str, str] | None = None) -> Response:
    """Count and log the error of a request, and answer with it."""
    service: Service = scope["app"].state.service
    service.metrics.request_errors.labels(error.code).inc()
    if isinstance(error, errors.AuthenticationError | errors.MisdirectedRequest):
        host, _ = scope.get("client") or (None, None)
        _log.warning("request refused", code=error.code, method=scope["method"], client=host)
    is_openai = scope["path"].startswith("/v1/")
    return error_response(error, scope["state"]["request_id"], headers, is_openai=is_openai)


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # Starlette's handlers are typed for any exception
    if error.type == "server_error":
        cause = type(error.__cause__).__name__ if error.__cause__ else None
        _log.warning("request failed", code=error.code, reason=error.message, cause=cause)
    return respond(request.scope, error)


async def _body_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, BodyRefused)  # see above
    return respond(request.scope, error.reason, error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # see above
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return respond(request.scope, errors.InvalidJson())
    # The first part is the place in the request, the second the field, the rest the place in its value.
    param = str(first["loc"][1])[:_MAX_PARAM_CHARS] if len(first["loc"]) > 1 else None
    reason = str(first["msg"]).removeprefix("Value error, ").replace("Input should be", "expected", 1)
    return respond(
        request.scope, errors.ValidationFailed(f"{param}: {reason}" if param else reason, param=param)
    )


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # see above
    kind = _BY_HTTP_STATUS.get(error.status_code, errors.InternalError)
    headers = {"Allow": _allowed_methods(request)} if kind is errors.MethodNotAllowed else error.headers
    return respond(request.scope, kind(), headers)


async def _client_left(request: Request, error: Exception) -> Response:  # noqa: ARG001 - a handler's
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


def _allowed_methods(request: Request) -> str:
    """List what the path accepts. The framework's own Allow has the methods of its first route alone."""
    accepted = {
        method.value
        for method in HTTPMethod
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    }
    return ", ".join(sorted(accepted | {"HEAD"} if "GET" in accepted else accepted))


async def _defect(request: Request, error: Exception) -> Response:
    _log.error("request failed", reason="defect", request_id=request.state.request_id, exc_info=error)
    return respond(request.scope, errors.InternalError())
