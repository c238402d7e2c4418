"""Somebody else, whose stream goes on while a fault is there."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx

from tests.faults.lab import Lab
from tests.faults.scripts import Dictated
from tests.support.chunks import answer, chunk, event
from tests.support.sse import Received, events
from tests.support.turns import begin, turn_of

BYSTANDER = "bystander"
_TOKEN_SECONDS = 10.0
_PAUSE_SECONDS = 0.03


class _Bystander:
    """Is given one token after the other, each only once the one before it has been read."""

    def __init__(self) -> None:
        self.answer = Dictated()
        self._is_over = False
        self._said: list[str] = []
        self.turn_id = ""

    async def begin(self, owner: httpx.AsyncClient) -> AsyncGenerator[Received, None]:
        """Ask, and hear the first token."""
        stream = begin(owner, BYSTANDER, message=BYSTANDER)
        await self._hear(stream)
        return stream

    async def listen(self, stream: AsyncGenerator[Received, None]) -> None:
        """Hear tokens until the fault is over."""
        while not self._is_over:
            await self._hear(stream)
            await asyncio.sleep(_PAUSE_SECONDS)

    def stop(self) -> None:
        """The fault is over."""
        self._is_over = True

    async def hear_the_end(self, stream: AsyncGenerator[Received, None]) -> None:
        """A last token, and the one end."""
        await self._hear(stream)
        self.answer.say(*answer()[1:])
        rest = [each.data async for each in stream]
        assert rest[1:] == ["[DONE]"]

    async def _hear(self, stream: AsyncGenerator[Received, None]) -> None:
        word = f"word{len(self._said)} "
        self._said.append(word)
        self.answer.say(event(chunk(word)))
        async with asyncio.timeout(_TOKEN_SECONDS):
            received = await anext(stream)
        assert received.content == word
        self.turn_id = turn_of(received)


@asynccontextmanager
async def undisturbed(lab: Lab, *, owner: httpx.AsyncClient) -> AsyncIterator[None]:
    """Hold that a stream that began before a fault gets every token while the fault is there, and its end.

    Args:
        lab: Where it happens; the stream is read from the service here.
        owner: The process that generates it.
    """
    bystander = _Bystander()
    lab.scripts[BYSTANDER] = bystander.answer
    async with aclosing(await bystander.begin(owner)) as first:
        stream = first if owner is lab.here else _rest(lab.here, bystander.turn_id)
        async with aclosing(stream):
            async with asyncio.TaskGroup() as listening:
                listening.create_task(bystander.listen(stream))
                yield
                bystander.stop()
            await bystander.hear_the_end(stream)


async def _rest(client: httpx.AsyncClient, turn_id: str) -> AsyncGenerator[Received, None]:
    """What comes after a turn's first event."""
    headers = {"Last-Event-ID": f"{turn_id}-1"}
    async with client.stream("GET", f"/chat/{turn_id}", headers=headers) as response:
        async for each in events(response):
            yield each
