"""A turn's stream, apart from its route."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import Message

from app.api.connection import WRITE_EXTENSION
from app.api.event_stream import TurnResponse
from app.api.framing import PlainFraming
from app.models import TurnEnd
from app.turns.reader_slots import ReaderSlot, ReaderSlots
from app.turns.stream import TurnStream


def slot() -> ReaderSlot:
    return ReaderSlot(ReaderSlots(total=1, per_user=1))


async def test_a_stream_that_fails_does_not_wait_for_its_client_to_leave() -> None:
    turn = TurnStream("turn", "user")
    turn.close(TurnEnd("complete"))
    response = TurnResponse(
        turn.open_reader(),
        PlainFraming(),
        slot(),
        request_id="request",
        ping_seconds=10,
        slow_reader_seconds=10,
    )

    async def send(_: Message) -> None:
        raise ConnectionResetError

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(ConnectionResetError):
        await response({"type": "http"}, receive, send)
    assert not turn.has_readers


class Client:
    """A client of one turn that takes at once what `takes` says, and the rest after a while."""

    def __init__(
        self, turn: TurnStream, framing: PlainFraming, *, takes: Callable[[], bool], after: int = 0
    ) -> None:
        self.received = b""
        self.at_once = 0
        self._takes = takes
        self._response = TurnResponse(
            turn.open_reader(after),
            framing,
            slot(),
            request_id="request",
            ping_seconds=10,
            slow_reader_seconds=10,
        )

    async def read(self) -> None:
        extensions: dict[str, Any] = {WRITE_EXTENSION: {"write": self._write}}
        await self._response({"type": "http", "extensions": extensions}, self._receive, self._send)

    def _write(self, part: bytes) -> bool:
        if is_taken := self._takes():
            self.received += part
            self.at_once += 1
        return is_taken

    async def _send(self, message: Message) -> None:
        await asyncio.sleep(0)
        self.received += message.get("body", b"")

    async def _receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError


async def _let_tasks_run() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_token_is_written_in_the_call_that_publishes_it() -> None:
    turn = TurnStream("turn", "user")
    client = Client(turn, PlainFraming(), takes=lambda: True)
    reading = asyncio.create_task(client.read())
    await _let_tasks_run()
    turn.publish([b"one"])
    assert client.received == b"data: one\n\n"
    turn.close(TurnEnd("complete"))
    await reading


@pytest.mark.parametrize("seed", range(30))
async def test_every_event_is_written_once_and_in_order_however_the_client_takes_them(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - a fixed sequence is what is wanted
    turn = TurnStream("turn", "user")
    client = Client(turn, PlainFraming(), takes=lambda: chance.random() < 0.7)
    reading = asyncio.create_task(client.read())
    events = [b"%d" % n for n in range(500)]
    left = events
    while left:
        count = chance.choice([1, 1, 1, 3, 50])
        turn.publish(left[:count])
        left = left[count:]
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
    turn.close(TurnEnd("complete"))
    await reading
    assert client.received == b"".join(b"data: %b\n\n" % each for each in [*events, b"[DONE]"])
    assert client.at_once > 0


@pytest.mark.parametrize("at_once", [1, 2, 3])
async def test_a_reader_that_is_ahead_of_a_mirror_gets_no_event_twice(at_once: int) -> None:
    turn = TurnStream("turn", "user")
    client = Client(turn, PlainFraming(), takes=lambda: True, after=2)
    reading = asyncio.create_task(client.read())
    await _let_tasks_run()
    events = [b"%d" % number for number in range(1, 7)]
    for start in range(0, 6, at_once):
        turn.publish(events[start : start + at_once])
        await _let_tasks_run()
    turn.close(TurnEnd("complete"))
    await reading
    assert client.received == b"".join(b"data: %b\n\n" % each for each in [*events[2:], b"[DONE]"])


async def test_a_reader_that_fails_harms_neither_the_generation_nor_other_readers() -> None:
    class Broken(PlainFraming):
        def event(self, number: int, data: bytes) -> bytes:  # noqa: ARG002 - the protocol's
            raise ZeroDivisionError

    turn = TurnStream("turn", "user")
    broken = Client(turn, Broken(), takes=lambda: True)
    sound = Client(turn, PlainFraming(), takes=lambda: True)
    failing, reading = asyncio.create_task(broken.read()), asyncio.create_task(sound.read())
    await _let_tasks_run()
    turn.publish([b"one"])
    with pytest.raises(ZeroDivisionError):
        await failing
    turn.close(TurnEnd("complete"))
    await reading
    assert sound.received == b"data: one\n\ndata: [DONE]\n\n"
