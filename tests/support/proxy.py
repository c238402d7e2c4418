"""A TCP proxy that breaks connections between the service and its backend or store."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.support.ports import free_port

Address = tuple[str, int]

_READ_BYTES = 64 * 1024
_ABORT = struct.pack("ii", 1, 0)
"""SO_LINGER with a time of 0: the connection ends with a RST."""


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a RST instead of a FIN."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    writer.transport.abort()


def _write_eof(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():  # uvloop raises RuntimeError then, not OSError
        writer.write_eof()


@dataclass(eq=False)
class _Link:
    """A client's connection, and the upstream connection opened for it."""

    client: asyncio.StreamWriter
    upstream: asyncio.StreamWriter
    loses_reply: bool = False

    def reset(self) -> None:
        reset(self.client)
        reset(self.upstream)

    def close(self) -> None:
        self.client.close()
        self.upstream.close()


@dataclass
class _LostReplies:
    marker: bytes
    left: int
    silently: bool
    all_lost: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """A proxy on a port of its own. It passes everything on unless a method below changes that."""

    def __init__(self, upstream: Address, *, tls: ssl.SSLContext | None = None) -> None:
        self.upstream = upstream
        self._tls = tls
        self.port = free_port()
        """Not chosen by the kernel, which could give it to another process while this proxy refuses."""
        self.slice_bytes = _READ_BYTES
        """The most bytes of one write."""
        self.bytes_per_second = float("inf")
        """The bytes passed on in a second, on each connection and in each direction."""
        self.replied_bytes = 0
        """The bytes of all replies so far."""
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests_pass, self._replies_pass = asyncio.Event(), asyncio.Event()
        self._losing: _LostReplies | None = None
        self.thaw()

    async def accept(self) -> None:
        """Accept connections, again if necessary, on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)

    def refuse(self) -> None:
        """Refuse new connections; existing ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[None]:
        """Leave new connections unanswered, like a host that does not exist."""
        self.refuse()
        with socket.create_server(("127.0.0.1", self.port), backlog=0):
            # Connections that are not accepted fill the queue, so the next one is not answered.
            waiting = [socket.socket() for _ in range(3)]
            for each in waiting:
                each.settimeout(0)
                with suppress(BlockingIOError):
                    each.connect(("127.0.0.1", self.port))
            try:
                yield
            finally:
                for each in waiting:
                    each.close()
        await self.accept()

    def freeze(self, *, requests: bool = True) -> None:
        """Keep accepting connections and bytes, and pass none on; or pass on requests, but no replies."""
        if requests:
            self._requests_pass.clear()
        self._replies_pass.clear()

    def thaw(self) -> None:
        """Pass on the bytes that were held back."""
        self._requests_pass.set()
        self._replies_pass.set()

    def reset(self) -> None:
        """Reset every connection."""
        for link in self._links:
            link.reset()

    def close(self) -> None:
        """Close every connection."""
        for link in self._links:
            link.close()

    def lose_reply(self, marker: bytes, *, times: int = 1, silently: bool = False) -> asyncio.Event:
        """Drop the replies to the next requests that contain the marker; the requests themselves pass.

        Args:
            marker: Bytes of the request.
            times: The number of such requests.
            silently: Send nothing more on their connections, instead of resetting them.

        Returns:
            Set when the last of these replies is lost; its request has been executed by then.
        """
        self._losing = _LostReplies(marker, times, silently)
        return self._losing.all_lost

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open the upstream connection for a client's connection."""
        return await asyncio.open_connection(*self.upstream)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # a coroutine runs in one
        self._tasks.add(task)
        try:
            upstream_reader, upstream_writer = await self.connect()
        except OSError:
            reset(writer)
            return
        finally:
            self._tasks.discard(task)
        link = _Link(writer, upstream_writer)
        self._links.add(link)
        pumps = {
            asyncio.create_task(self._pass_requests(reader, link)),
            asyncio.create_task(self._pass_replies(upstream_reader, link)),
        }
        self._tasks |= pumps
        try:
            await asyncio.wait(pumps)
        finally:
            self._tasks -= pumps
            self._links.discard(link)
            link.close()

    async def _pass_requests(self, reader: asyncio.StreamReader, link: _Link) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                await self._requests_pass.wait()
                losing = self._losing
                if losing is not None and losing.left and losing.marker in data:
                    losing.left -= 1
                    link.loses_reply = True
                await self._pass_on(data, link.upstream)
            _write_eof(link.upstream)
        except OSError:
            link.reset()

    async def _pass_replies(self, reader: asyncio.StreamReader, link: _Link) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                self.replied_bytes += len(data)
                await self._replies_pass.wait()
                if link.loses_reply:
                    self._lose(link)
                else:
                    await self._pass_on(data, link.client)
            _write_eof(link.client)
        except OSError:
            link.reset()

    def _lose(self, link: _Link) -> None:
        assert self._losing is not None  # set before a link loses its reply
        if not self._losing.silently:
            link.reset()
        if not self._losing.left:
            self._losing.all_lost.set()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        size = self.slice_bytes
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            await asyncio.sleep(min(size, len(data)) / self.bytes_per_second)

    async def end(self) -> None:
        """Refuse and reset connections, and wait until none is left."""
        self.refuse()
        self.reset()
        while self._tasks or self._links:
            for task in self._tasks:
                task.cancel()
            await asyncio.sleep(0)


@asynccontextmanager
async def proxy_to(upstream: Address, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Proxy]:
    """Run a proxy in front of this address; with `tls`, its clients must speak TLS."""
    proxy = Proxy(upstream, tls=tls)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(proxy.end)
        await proxy.accept()
        yield proxy
