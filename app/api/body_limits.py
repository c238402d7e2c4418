"""Bounds of a request's body in size, whether or not its length was announced, and in time."""

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive, Scope

from app.api.connection import INVALID_BODY_EXTENSION
from app.api.errors import BodyRefused
from app.api.headers import headers_of
from app.errors import BodyTooLarge, RequestTimeout, ServiceError, UnsupportedMediaType

BODY_SECONDS = 10.0
"""How long a request's body may take to arrive."""

_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class BodyLimits:
    """The bounds of the bodies of all requests.

    Starlette's own limit answers in plain text, so this one raises an error for the handlers to answer.
    """

    def __init__(self, max_bytes: Mapping[str, int]) -> None:
        """Bound bodies.

        Args:
            max_bytes: The limit of each path prefix. The longest prefix counts.
        """
        self._limits = sorted(max_bytes.items(), key=lambda limit: len(limit[0]), reverse=True)

    def apply(self, scope: Scope, receive: Receive) -> Receive:
        """Return what receives a request within the limits, and raises `BodyRefused` otherwise.

        Raises:
            UnsupportedMediaType: The body is compressed.
        """
        if scope["method"] not in _METHODS_WITH_BODY:
            return receive
        headers = headers_of(scope)
        if headers.get("content-encoding", "").strip().lower() not in {"identity", ""}:
            raise UnsupportedMediaType
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

        return receive_within_limits
