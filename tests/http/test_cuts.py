"""A request has one answer, however the network cuts it; and a body is never a request."""

import pytest

from tests.http.memory import MemoryConnection
from tests.http.requests import ALL, SMUGGLED, SMUGGLING


async def answer(*parts: bytes) -> MemoryConnection:
    connection = MemoryConnection()
    await connection.send(parts)
    connection.leave()
    return connection


@pytest.mark.parametrize("name", ALL)
async def test_a_request_has_one_answer_wherever_it_is_cut(name: str) -> None:
    request, statuses = ALL[name]
    whole = await answer(request)
    assert len(whole.statuses) == len(statuses)
    for cut in range(1, len(request), 1 + len(request) // 2000):
        assert (await answer(request[:cut], request[cut:])).answer == whole.answer, request[:cut]


@pytest.mark.parametrize("name", ALL)
async def test_a_request_that_comes_byte_by_byte_has_the_same_answer(name: str) -> None:
    request, _ = ALL[name]
    step = 1 + len(request) // 2000
    bytewise = await answer(*(request[n : n + step] for n in range(0, len(request), step)))
    assert bytewise.answer == (await answer(request)).answer


@pytest.mark.parametrize("name", SMUGGLING)
async def test_what_is_smuggled_is_no_request(name: str) -> None:
    whole = await answer(SMUGGLING[name][0])
    assert b'"path": "/users/victim"' not in whole.written
    if SMUGGLED in SMUGGLING[name][0]:
        assert whole.has_ended
