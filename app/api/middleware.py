"""Pure ASGI middleware: nothing here stands between a stream and its client."""

import re
import secrets
from collections.abc import Container, Mapping

import structlog
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.body_limits import BodyLimits
from app.api.docs import FILE_PATHS as DOCS_FILE_PATHS
from app.api.errors import respond
from app.api.headers import SECURITY_HEADERS, headers_of
from app.api.hosts import HostPolicy, OriginPolicy
from app.api.page import PATHS as PAGE_PATHS
from app.errors import MisdirectedRequest, ServiceError, UnsupportedMediaType
from app.security.caller import Caller
from app.service import Service
from app.settings import Settings

_RESPONSE_HEADERS = (
    *("X-Request-Id", "X-Turn-Id", "Location", "X-History-Trimmed"),
    *("Retry-After", "X-Should-Retry", "RateLimit", "RateLimit-Policy"),
)
"""What a page of an allowed origin may read. It may send any header: OpenAI's SDK has a dozen of its own."""

_PROBES = frozenset({"/health", "/ready", "/metrics"})
_SECURITY_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_REFUSAL_HEADERS: Mapping[type[ServiceError], Mapping[str, str]] = {
    UnsupportedMediaType: {"Accept-Encoding": "identity"}  # before a route it is a compressed body
}
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class EntranceMiddleware:
    """Gives requests an id and answers their headers, and refuses requests for another host."""

    def __init__(self, app: ASGIApp, *, hosts: HostPolicy | None) -> None:
        """Guard an application.

        Args:
            app: Its answers get headers, unless they have them already.
            hosts: The hosts that are answered for; None: all.
        """
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope["state"]["request_id"] = request_id
        # A request has a task of its own, with which the binding ends.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        own_headers = [(b"x-request-id", request_id.encode()), *_SECURITY_HEADERS]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = dict(message["headers"])
                message["headers"] = [
                    *message["headers"],
                    *(header for header in own_headers if header[0] not in given),
                ]
            await send(message)

        if self._hosts is not None and not self._hosts.answers(scope):
            await respond(scope, MisdirectedRequest())(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


class GuardMiddleware:
    """Refuses requests that a page or a caller may not send, and bounds the bodies of the others.

    It answers HEAD as GET, without the body: a stream ends after its headers.
    """

    def __init__(
        self, app: ASGIApp, *, origins: OriginPolicy, open_paths: Container[str], body_limits: BodyLimits
    ) -> None:
        """Guard an application.

        Args:
            app: It finds the caller in the request's state.
            origins: The origins whose pages may write.
            open_paths: The paths that need no credential.
            body_limits: The bounds of the bodies.
        """
        self._app = app
        self._origins = origins
        self._open_paths = open_paths
        self._body_limits = body_limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._origins.check(scope)
            if scope["path"] not in self._open_paths:
                scope["state"]["caller"] = await _caller(scope)
            receive = self._body_limits.apply(scope, receive)
        except ServiceError as error:
            await respond(scope, error, _REFUSAL_HEADERS.get(type(error)))(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            await self._app({**scope, "method": "GET"}, receive, _without_body(send))
        else:
            await self._app(scope, receive, send)


def _request_id(scope: Scope) -> str:
    """Return the client's own id of a request if it can be echoed safely, otherwise a new one."""
    asked = headers_of(scope).get("x-request-id", "")
    return asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(16)


async def _caller(scope: Scope) -> Caller:
    """Return who sends a request, before anything but its head is read.

    Raises:
        ServiceError: It has no valid credential.
    """
    service: Service = scope["app"].state.service
    given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    return await service.authenticator.caller(given)


def _without_body(send: Send) -> Send:
    """Return what sends the head of an answer, and ends it."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body"})

    return send_head


def add_middleware(app: FastAPI, settings: Settings) -> None:
    """Put all middleware around the application.

    The last one is the outermost: every answer has its headers, and a request that is not meant for this
    service, or comes from a page that may not send it, is refused before its credential is looked at.
    """
    app.add_middleware(
        GuardMiddleware,
        origins=OriginPolicy(frozenset(settings.cors_origins)),
        open_paths=_open_paths(settings),
        body_limits=BodyLimits({"": settings.max_body_bytes, "/v1/": settings.v1_max_body_bytes}),
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=("*",),
            expose_headers=_RESPONSE_HEADERS,
        )
    hosts = (
        HostPolicy(frozenset(settings.allowed_hosts), any_host_paths=_PROBES) if settings.is_open else None
    )
    app.add_middleware(EntranceMiddleware, hosts=hosts)


def _open_paths(settings: Settings) -> frozenset[str]:
    """Return the paths that need no credential."""
    metrics = () if settings.metrics_need_key else ("/metrics",)
    docs = () if settings.docs_need_key else ("/docs", "/openapi.json")
    return frozenset({*PAGE_PATHS, *DOCS_FILE_PATHS, "/health", "/ready", *metrics, *docs})
