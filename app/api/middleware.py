"""Pure ASGI middleware: nothing here stands between a stream and its client."""

import asyncio
import re
import uuid
from collections.abc import Container
from contextlib import suppress

import structlog
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import error_response
from app.api.page import PATHS as PAGE_PATHS
from app.errors import ServiceError
from app.service import Service
from app.settings import Settings

BODY_SECONDS = 10.0
"""Within which a request's body has to arrive."""

_HEADERS_TAKEN = ("Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-Id")
_HEADERS_GIVEN = (
    *("X-Request-Id", "X-Turn-Id", "Location", "X-History-Trimmed"),
    *("Retry-After", "RateLimit", "RateLimit-Policy"),
)
"""What a page of another origin may send, and read."""

_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_DISCARD_SECONDS = 2.0
_DISCARD_BYTES = 64 * 1024 * 1024

# The rest of the body is not read, so nothing else can come on this connection.
_CLOSE = {"Connection": "close"}
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class RequestIdMiddleware:
    """Gives every request an id, the client's own where it can be echoed safely."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)


class AuthenticationMiddleware:
    """Lets nobody past without a credential where one is wanted: before anything of a request is read."""

    def __init__(self, app: ASGIApp, *, open_paths: Container[str]) -> None:
        """Guard an application.

        Args:
            app: It finds the caller in the request's state.
            open_paths: Those that anybody may ask for.
        """
        self._app = app
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            service: Service = scope["app"].state.service
            try:
                caller = await service.authenticator.caller(Headers(scope=scope).getlist("authorization"))
            except ServiceError as error:
                service.metrics.request_errors.labels(error.code).inc()
                await error_response(error, scope["state"]["request_id"])(scope, receive, send)
                return
            scope["state"]["caller"] = caller
        await self._app(scope, receive, send)


class BodyLimitMiddleware:
    """Bounds a request's body in size, whether or not its length was announced, and in time.

    Starlette's own limit answers in plain text, so this one raises where the error handlers see it.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _METHODS_WITH_BODY:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        announced = headers.get("content-length", "")
        is_too_large = announced.isdecimal() and int(announced) > self._max_bytes
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        received = 0
        more_body = True

        async def receive_within_limits() -> Message:
            nonlocal received, more_body
            if not more_body:
                return await receive()
            message: Message = {}
            if not is_too_large:
                try:
                    async with asyncio.timeout_at(deadline):
                        message = await receive()
                except TimeoutError:
                    raise HTTPException(408, headers=_CLOSE) from None
            received += len(message.get("body", b""))
            if is_too_large or received > self._max_bytes:
                if "expect" not in headers:
                    await _discard(receive)
                raise HTTPException(413, headers=_CLOSE)
            more_body = message.get("more_body", False)
            return message

        await self._app(scope, receive_within_limits, send)


async def _discard(receive: Receive) -> None:
    """Take what still comes, for a while: a connection that is closed with unread input loses its answer."""
    received = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while received < _DISCARD_BYTES:
                message = await receive()
                received += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


def add_middleware(app: FastAPI, settings: Settings) -> None:
    """Put it all around the application. The last one is the outermost: every answer has a request id."""
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes)
    app.add_middleware(AuthenticationMiddleware, open_paths=_open_paths(settings))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=_HEADERS_TAKEN,
            expose_headers=_HEADERS_GIVEN,
        )
    app.add_middleware(RequestIdMiddleware)


def _open_paths(settings: Settings) -> frozenset[str]:
    """What anybody may ask for."""
    metrics = () if settings.metrics_need_key else ("/metrics",)
    docs = () if settings.docs_need_key else ("/docs", "/docs/oauth2-redirect", "/openapi.json")
    return frozenset({*PAGE_PATHS, "/health", "/ready", *metrics, *docs})
