"""The httpx transport to backends: connections by origin, kept for a short while."""

import asyncio
import os
import socket
import ssl
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import aiohappyeyeballs
import certifi
import httpx

from app.clock import now
from app.llm.http.connection import Connection, FailedAgain

_IDLE_SECONDS = 4.0
"""Below the five seconds after which uvicorn, and so vLLM, closes an idle connection."""
_HAPPY_EYEBALLS_SECONDS = 0.25
"""RFC 8305, 5: the head start of each address before the next one is tried."""

_RESOLVED_SECONDS = 10.0
"""How long the addresses of a host are used before they are looked up again."""

_Origin = tuple[str, str, int]
_AddrInfo = Any
"""As `socket.getaddrinfo` returns it."""


class RelayTransport(httpx.AsyncBaseTransport):
    """Sends each request on an idle connection to its origin, or on a new one.

    Of httpx's time-outs only `connect` counts, for looking up the host, connecting and the TLS handshake
    together. How long a response may take is its reader's business.
    """

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._idle: defaultdict[_Origin, dict[Connection, asyncio.TimerHandle]] = defaultdict(dict)
        self._resolved: dict[tuple[str, int], tuple[Sequence[_AddrInfo], float]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return its response as soon as the head has arrived.

        Raises:
            httpx.TransportError: The connection failed, or the peer does not speak HTTP/1.1.
        """
        stream = request.stream
        body = b"".join(stream) if isinstance(stream, httpx.ByteStream) else await request.aread()
        origin = (request.url.scheme, request.url.host, request.url.port or _port(request.url.scheme))
        if (idle := self._take_idle(origin)) is not None:
            try:
                return await idle.send(request, body)
            except httpx.ReadError:
                # Most likely the backend closed it while it was idle, and has not seen the request.
                if idle.has_received:
                    raise
            connection = await self._connect(origin, request)
            try:
                return await connection.send(request, body)
            except httpx.ReadError as error:
                raise FailedAgain(str(error), request=request) from error
        connection = await self._connect(origin, request)
        return await connection.send(request, body)

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            connection.abort()
        await asyncio.sleep(0)  # the event loop closes their sockets

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """Trust SSL_CERT_FILE and SSL_CERT_DIR if they are set; otherwise the system's and Mozilla's lists.

        It is made when it is needed: loading the lists takes a tenth of a second.
        """
        context = ssl.create_default_context()
        if not (os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")):
            # A minimal system has no list of its own.
            context.load_verify_locations(certifi.where())
        return context

    def _take_idle(self, origin: _Origin) -> Connection | None:
        """Take the connection that became idle last."""
        if not self._idle[origin]:
            return None
        connection, timer = self._idle[origin].popitem()
        timer.cancel()
        return connection if connection.is_reusable else None

    async def _connect(self, origin: _Origin, request: httpx.Request) -> Connection:
        loop = asyncio.get_running_loop()
        scheme, host, port = origin
        limit = request.extensions.get("timeout", {}).get("connect")

        def keep(connection: Connection) -> None:
            self._idle[origin][connection] = loop.call_later(_IDLE_SECONDS, connection.abort)

        def forget(connection: Connection) -> None:
            self._open.discard(connection)
            if (timer := self._idle[origin].pop(connection, None)) is not None:
                timer.cancel()

        try:
            async with asyncio.timeout(limit):
                sock = await aiohappyeyeballs.start_connection(
                    list(await self._resolve(host, port)),
                    happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS,
                    interleave=1,
                )
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _, connection = await loop.create_connection(
                    lambda: Connection(on_idle=keep, on_lost=forget),
                    sock=sock,
                    ssl=self._tls if scheme == "https" else None,
                    server_hostname=host if scheme == "https" else None,
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("the connection was not made in time", request=request) from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error), request=request) from error
        self._open.add(connection)
        return connection

    async def _resolve(self, host: str, port: int) -> Sequence[_AddrInfo]:
        """Find the addresses of a host. An IP address takes no look-up, and so no thread.

        Raises:
            OSError: The host is unknown.
        """
        with suppress(socket.gaierror):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        found, expires_at = self._resolved.get((host, port), ((), 0.0))
        if now() >= expires_at:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._resolved[host, port] = found, now() + _RESOLVED_SECONDS
        return found


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
