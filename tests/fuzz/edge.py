"""The HTTP edge: requests cut, bent and broken at random, from clients that come and go as they like."""

import asyncio
import re
from contextlib import suppress
from random import Random

from tests.fuzz.world import Target, World
from tests.http.requests import ALL
from tests.support.proxy import reset

_CLIENTS = 20
_ANSWER_SECONDS = 20.0
_LONG_BYTES = 300_000
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_PIECES = (
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"\r\n\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n"),
    *(b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n"),
    *(b"Host: localhost\r\n", b"Expect: 100-continue\r\n", b"X: " + b"x" * 70_000, b"\xff\xfe", b"{", b'"'),
)


async def fuzz(world: World) -> None:
    """Let clients send until the time is over."""
    async with asyncio.TaskGroup() as tasks:
        for _ in range(_CLIENTS):
            tasks.create_task(_client(world, Random(world.chance.random())))  # noqa: S311 - to be repeated


async def _client(world: World, chance: Random) -> None:
    while not world.is_over.is_set():
        with suppress(ConnectionError):  # a service that closes may reset what still comes
            await _connection(world, chance)


async def _connection(world: World, chance: Random) -> None:
    name = chance.choice(list(ALL))
    request, statuses = ALL[name]
    is_bent = chance.random() < 0.7
    sent = _bend(request, chance) if is_bent else request
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    world.counts["connections"] += 1
    try:
        for part in _cut(sent, chance):
            writer.write(part)
            await writer.drain()
            if chance.random() < 0.1:
                await asyncio.sleep(chance.random() / 50)
        match chance.choice(("read", "read", "leave", "half-close", "reset")):
            case "read" if not is_bent:
                found = await _answers(reader, len(statuses))
                world.counts["compared"] += 1
                if found != statuses:
                    world.violations.append(f"{name}: {found}, not {statuses}")
            case "read":
                with suppress(TimeoutError):
                    async with asyncio.timeout(chance.random() / 5):
                        for status in _STATUS.findall(await reader.read(65536)):
                            world.counts[status.decode()] += 1
                            if status.startswith(b"5"):
                                world.violations.append(f"{status.decode()} for {sent[:2000]!r}")
            case "half-close":
                writer.write_eof()
            case "reset":
                reset(writer)
    finally:
        writer.close()


async def _answers(reader: asyncio.StreamReader, expected: int) -> list[int]:
    received = b""
    with suppress(TimeoutError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            while len(_STATUS.findall(received)) < expected and (data := await reader.read(65536)):
                received += data
    return [int(status) for status in _STATUS.findall(received)]


def _cut(data: bytes, chance: Random) -> list[bytes]:
    """Cut at up to ten random places, or at every byte."""
    if chance.random() < 0.1 and len(data) < 1000:
        return [data[n : n + 1] for n in range(len(data))]
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(10)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def _bend(data: bytes, chance: Random) -> bytes:
    """Change a request in a few places: bytes, pieces, repetitions, another request in its middle."""
    for _ in range(chance.randrange(1, 5)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
            case 1:
                data = data[:place] + chance.choice(_PIECES) + data[place:]
            case 2:
                data = data[:place] + data[place + chance.randrange(20) :]
            case 3:
                data = data[:place] + chance.choice(list(ALL.values()))[0] + data[place:]
            case 4:
                end = place + chance.randrange(40)
                data = data[:place] + data[place:end] * min(
                    chance.randrange(2000), 1 + _LONG_BYTES // max(1, len(data))
                )
                data += data[end:]
            case 5:
                data += chance.randbytes(chance.randrange(1, 2000))
    return data[:_LONG_BYTES] or b"\r\n"


TARGET = Target(name="the HTTP edge", fuzz=fuzz)
