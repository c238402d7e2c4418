"""A backend's address, its key, and the way to it."""

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Self

import httpx
import msgspec

from app.llm.deadlines import TimeLimits
from app.llm.http import RelayTransport

_IDLE_CONNECTION_SECONDS = 4.0
"""Below the five seconds after which uvicorn, and so vLLM, closes an idle connection."""
_LEAST_SECRET_CHARS = 16
_NOTHING = httpx.ByteStream(b"")
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Endpoint:
    """Sends requests to one backend.

    It follows no redirect, keeps no cookie and looks at no proxy variable, so that what is said to the
    backend reaches the backend alone. httpx's client would add a third to what a request costs. A query in
    the URL stays behind every path, as Azure wants it.

    Attributes:
        host: The host in the backend's URL.
        secrets: What must not be told to a client or to the log.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        limits: TimeLimits,
        proxy: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Make the transport, which is closed with the endpoint.

        Args:
            base_url: The backend's base URL.
            api_key: The backend's key; empty: it wants none.
            limits: Deadlines; of these the endpoint enforces the one on connecting.
            proxy: URL of the HTTP proxy that all requests go through; empty: none.
            transport: Replaces the transport that talks to the backend over the network.
        """
        url = httpx.URL(base_url)
        self.host = url.host
        self.secrets = [
            api_key,
            *(value for value in url.params.values() if len(value) >= _LEAST_SECRET_CHARS),
        ]
        self._query = url.query
        self._base = url.copy_with(path=url.path.rstrip("/") + "/", query=None, fragment=None)
        self._urls: dict[str, httpx.URL] = {}
        self._headers = httpx.Headers(
            {
                "Host": url.netloc.decode(),
                "Accept": "*/*",
                "User-Agent": "streaming-llm-chat",
                # A backend or proxy that compresses a stream holds it back.
                "Accept-Encoding": "identity",
                "Connection": "keep-alive",
                **({"Authorization": f"Bearer {api_key}"} if api_key else {}),
            }
        )
        self._json_headers = httpx.Headers(
            [*self._headers.raw, (b"Content-Type", b"application/json"), (b"Content-Length", b"0")]
        )
        # Reads are bounded by the deadlines on content.
        timeout = httpx.Timeout(None, connect=limits.connect, pool=limits.connect)
        self._extensions = {"timeout": timeout.as_dict()}
        self._transport = transport or (_through(proxy) if proxy else RelayTransport())

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def get(self, path: str) -> httpx.Response:
        """Ask for what is at a path below the base URL; the response's body has not been read.

        Raises:
            httpx.RequestError: No response came.
        """
        return await self._send(httpx.Request("GET", self._url(path), headers=self._headers, stream=_NOTHING))

    async def post(
        self, path: str, body: dict[str, Any], *, headers: Mapping[str, str] = _NO_HEADERS
    ) -> httpx.Response:
        """Send JSON to a path below the base URL; the response's body has not been read.

        Raises:
            httpx.RequestError: No response came.
        """
        content = msgspec.json.encode(body)
        # A stream, because for content httpx makes all headers anew.
        request = httpx.Request(
            "POST", self._url(path), headers=self._json_headers, stream=httpx.ByteStream(content)
        )
        request.headers["Content-Length"] = str(len(content))
        for name, value in headers.items():
            request.headers[name] = value
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        request.extensions = self._extensions
        response = await self._transport.handle_async_request(request)
        response.request = request
        return response

    def _url(self, path: str) -> httpx.URL:
        if path not in self._urls:
            self._urls[path] = self._base.join(path).copy_with(query=self._query or None)
        return self._urls[path]


def _through(proxy: str) -> httpx.AsyncHTTPTransport:
    return httpx.AsyncHTTPTransport(
        proxy=proxy,
        verify=httpx.create_ssl_context(),
        limits=httpx.Limits(max_connections=None, keepalive_expiry=_IDLE_CONNECTION_SECONDS),
        trust_env=False,
    )
