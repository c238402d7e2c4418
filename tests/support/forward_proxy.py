"""An HTTP proxy such as a company has between its machines and the Internet."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_READ_BYTES = 64 * 1024
_OWN_HEADER = re.compile(r"(?im)^proxy-authorization:.*\r\n")


@dataclass
class ForwardProxy:
    """A running proxy; `heads` are the heads of the requests that came first on their connections."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    refuses: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: open a tunnel for CONNECT, and otherwise forward."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            method, target, rest = head.split(" ", 2)
            if self.refuses:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            is_tunnel = method == "CONNECT"
            url = urlsplit(f"//{target}" if is_tunnel else target)
            upstream_reader, upstream = await asyncio.open_connection(url.hostname, url.port)
            if is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.write(_OWN_HEADER.sub("", f"{method} {url.path} {rest}").encode())
            await asyncio.gather(_copy(reader, upstream), _copy(upstream_reader, writer))
        finally:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def running_forward_proxy() -> AsyncIterator[ForwardProxy]:
    """Run a proxy on loopback."""
    proxy = ForwardProxy()
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.port = server.sockets[0].getsockname()[1]
        yield proxy
