"""The load counts what the fake backend sends, and takes nothing for whole that is not."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from benchmarks import answers
from benchmarks.backend import Burst, Connection, Pace
from benchmarks.load import Address, LoadError, Stream, open_stream, read_all
from benchmarks.peers.peer import completion_request
from benchmarks.question import Question
from tests.support.ports import free_port


@pytest.fixture
async def backend() -> AsyncIterator[Address]:
    pace, burst = Pace(), Burst()
    address = Address(free_port())
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(pace, burst), address.host, address.port
    )
    turning = asyncio.create_task(pace.run())
    yield address
    turning.cancel()
    server.close()


@pytest.mark.parametrize(
    "question", [Question(1), Question(40), Question(40, rate=500), Question(40, rate=500, stamped=True)]
)
async def test_every_token_is_counted(backend: Address, question: Question) -> None:
    stream = await open_stream(backend, completion_request(question), is_stamped=question.stamped)
    (received,) = await read_all([stream], tokens=question.tokens, seconds=60)
    # The role's chunk has an empty content, which is no stamp.
    assert received.tokens == question.tokens + (not question.stamped)
    assert received.is_whole


async def test_stamps_say_when_a_token_was_sent(backend: Address) -> None:
    question = Question(20, rate=500, stamped=True)
    stream = await open_stream(backend, completion_request(question), is_stamped=True)
    (received,) = await read_all([stream], tokens=question.tokens, seconds=60)
    sent = [stamp for stamp, _ in received.arrivals]
    assert sent == sorted(set(sent))
    assert all(stamp <= came for stamp, came in received.arrivals)


@pytest.mark.parametrize("piece_bytes", [1, 7, 300, 100_000])
async def test_pieces_may_end_anywhere(piece_bytes: int) -> None:
    wire = b"".join((answers.HEAD, answers.ROLE, *map(answers.token, range(9)), answers.ending(9)))
    stream = Stream(b"", is_stamped=False)
    for start in range(0, len(wire), piece_bytes):
        stream.data_received(wire[start : start + piece_bytes])
    received = await stream.ended
    assert (received.tokens, received.is_whole) == (10, True)


async def test_an_answer_without_done_is_not_whole() -> None:
    stream = Stream(b"", is_stamped=False)
    stream.data_received(answers.HEAD + answers.ROLE + answers.token(0))
    stream.connection_lost(None)
    with pytest.raises(LoadError, match="1 of 1 answers are incomplete"):
        await read_all([stream], tokens=1, seconds=60)
