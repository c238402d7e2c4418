"""A turn's stream, apart from its route."""

import asyncio

import pytest
from starlette.types import Message

from app.api.event_stream import TurnResponse
from app.api.framing import PlainFraming
from app.models import TurnEnd
from app.turns.stream import TurnStream


async def test_a_stream_that_fails_does_not_wait_for_its_client_to_leave() -> None:
    turn = TurnStream("turn", "user")
    turn.close(TurnEnd("complete"))
    response = TurnResponse(
        turn.open_reader(), PlainFraming(), request_id="request", ping_seconds=10, slow_reader_seconds=10
    )

    async def send(_: Message) -> None:
        raise ConnectionResetError

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(ConnectionResetError):
        await response({"type": "http"}, receive, send)
    assert not turn.has_readers
