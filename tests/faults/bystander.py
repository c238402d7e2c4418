"""Another user, whose stream must continue during a fault."""

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
    """A client that gets one token after the other, each after it has read the one before."""

    def __init__(self) -> None:
        self.answer = Dictated()
        self._is_over = False
        self._said: list[str] = []
        self.turn_id = ""

    async def begin(self, owner: httpx.AsyncClient) -> AsyncGenerator[Received, None]:
        """Ask, and read the first token."""
        stream = begin(owner, BYSTANDER, message=BYSTANDER)
        await self._hear(stream)
        return stream

    async def listen(self, stream: AsyncGenerator[Received, None]) -> None:
        """Read tokens until the fault is over."""
        while not self._is_over:
            await self._hear(stream)
            await asyncio.sleep(_PAUSE_SECONDS)

    def stop(self) -> None:
        """End the stream of tokens, because the fault is over."""
        self._is_over = True

    async def hear_the_end(self, stream: AsyncGenerator[Received, None]) -> None:
        """Read a last token, and the one end."""
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
    """Check that a stream which began before a fault gets every token during the fault, and its end.

    Args:
        lab: The set-up of the case; the stream is read from its service `here`.
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
    """Read the events after a turn's first one."""
    headers = {"Last-Event-ID": f"{turn_id}-1"}
    async with client.stream("GET", f"/chat/{turn_id}", headers=headers) as response:
        async for each in events(response):
            yield each
