"""Pure ASGI middleware: nothing here stands between a stream and its client."""

import asyncio
import re
import uuid
from collections.abc import Container, Mapping

import structlog
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.connection import INVALID_BODY_EXTENSION
from app.api.docs import FILE_PATHS as DOCS_FILE_PATHS
from app.api.errors import BodyRefused, respond
from app.api.headers import SECURITY_HEADERS
from app.api.hosts import HostMiddleware, OriginMiddleware
from app.api.page import PATHS as PAGE_PATHS
from app.errors import BodyTooLarge, RequestTimeout, ServiceError, UnsupportedMediaType
from app.service import Service
from app.settings import Settings

BODY_SECONDS = 10.0
"""How long a request's body may take to arrive."""

_RESPONSE_HEADERS = (
    *("X-Request-Id", "X-Turn-Id", "Location", "X-History-Trimmed"),
    *("Retry-After", "X-Should-Retry", "RateLimit", "RateLimit-Policy"),
)
"""What a page of an allowed origin may read. It may send any header: OpenAI's SDK has a dozen of its own."""

_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_PROBES = frozenset({"/health", "/ready", "/metrics"})
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class AnswerHeadersMiddleware:
    """Gives requests an id, the client's own if it can be echoed safely, and answers their headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope).get("x-request-id", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_headers)


class AuthenticationMiddleware:
    """Refuses requests without a valid credential, before anything of them is read."""

    def __init__(self, app: ASGIApp, *, open_paths: Container[str]) -> None:
        """Guard an application.

        Args:
            app: It finds the caller in the request's state.
            open_paths: The paths that need no credential.
        """
        self._app = app
        self._open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in self._open_paths:
            service: Service = scope["app"].state.service
            try:
                caller = await service.authenticator.caller(Headers(scope=scope).getlist("authorization"))
            except ServiceError as error:
                await respond(scope, error)(scope, receive, send)
                return
            scope["state"]["caller"] = caller
        await self._app(scope, receive, send)


class HeadMiddleware:
    """Answers HEAD as GET, without the body: a stream ends after its headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body"})

        await self._app({**scope, "method": "GET"}, receive, send_head)


class BodyMiddleware:
    """Bounds a request's body in size, whether or not its length was announced, and in time.

    Starlette's own limit answers in plain text, so this one raises where the error handlers see it.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: Mapping[str, int]) -> None:
        """Bound the bodies of an application.

        Args:
            app: It reads the bodies.
            max_bytes: The limit of each path prefix. The longest prefix counts.
        """
        self._app = app
        self._limits = sorted(max_bytes.items(), key=lambda limit: len(limit[0]), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in _METHODS_WITH_BODY:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if headers.get("content-encoding", "identity").strip().lower() not in {"identity", ""}:
            refused = respond(scope, UnsupportedMediaType(), {"Accept-Encoding": "identity"})
            await refused(scope, receive, send)
            return
        max_bytes = next(limit for prefix, limit in self._limits if scope["path"].startswith(prefix))
        announced = headers.get("content-length", "")
        is_too_large = announced.isdecimal() and int(announced) > max_bytes
        invalid: Mapping[str, ServiceError] = scope.get("extensions", {}).get(INVALID_BODY_EXTENSION, {})
        deadline = asyncio.get_running_loop().time() + BODY_SECONDS
        received = 0
        more_body = True

        async def receive_within_limits() -> Message:
            nonlocal received, more_body
            if not more_body:
                return await receive()
            if is_too_large:
                raise BodyRefused(BodyTooLarge())
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise BodyRefused(RequestTimeout()) from None
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise BodyRefused(BodyTooLarge())
            if (reason := invalid.get("reason")) is not None:
                raise BodyRefused(reason)
            more_body = message.get("more_body", False)
            return message

        await self._app(scope, receive_within_limits, send)


def add_middleware(app: FastAPI, settings: Settings) -> None:
    """Put all middleware around the application.

    The last one is the outermost: every answer has its headers, and a request that is not meant for this
    service, or comes from a page that may not send it, is refused before its credential is looked at.
    """
    app.add_middleware(
        BodyMiddleware, max_bytes={"": settings.max_body_bytes, "/v1/": settings.v1_max_body_bytes}
    )
    app.add_middleware(HeadMiddleware)
    app.add_middleware(AuthenticationMiddleware, open_paths=_open_paths(settings))
    app.add_middleware(OriginMiddleware, origins=frozenset(settings.cors_origins))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=("*",),
            expose_headers=_RESPONSE_HEADERS,
        )
    if settings.is_open:
        app.add_middleware(HostMiddleware, hosts=frozenset(settings.allowed_hosts), any_host_paths=_PROBES)
    app.add_middleware(AnswerHeadersMiddleware)


def _open_paths(settings: Settings) -> frozenset[str]:
    """Return the paths that need no credential."""
    metrics = () if settings.metrics_need_key else ("/metrics",)
    docs = () if settings.docs_need_key else ("/docs", "/openapi.json")
    return frozenset({*PAGE_PATHS, *DOCS_FILE_PATHS, "/health", "/ready", *metrics, *docs})
