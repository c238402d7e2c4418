"""Work that a client waits for."""

import asyncio
from typing import Any

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect

from app.api.connection import LEAVE_EXTENSION, Departure, on_leave, or_disconnect


def request_of(departure: Departure) -> Request:
    extensions: dict[str, Any] = {LEAVE_EXTENSION: {"departure": departure}}
    return Request({"type": "http", "extensions": extensions})


class Work:
    """Goes on until it is cancelled."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.is_cancelled = False

    async def run(self) -> None:
        self.has_begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise


async def test_work_is_cancelled_when_its_client_leaves_and_its_task_goes_on() -> None:
    departure, work = Departure(), Work()

    async def answer() -> str:
        with pytest.raises(ClientDisconnect):
            await or_disconnect(request_of(departure), work.run())
        await asyncio.sleep(0)
        return "went on"

    answering = asyncio.create_task(answer())
    await work.has_begun.wait()
    departure.announce()
    assert await answering == "went on"
    assert work.is_cancelled


async def test_work_for_a_client_that_has_left_already_is_cancelled() -> None:
    departure, work = Departure(), Work()
    departure.announce()
    with pytest.raises(ClientDisconnect):
        await or_disconnect(request_of(departure), work.run())
    assert work.is_cancelled


async def test_a_time_out_of_the_work_is_its_own() -> None:
    async def time_out() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await or_disconnect(request_of(Departure()), time_out())


async def test_a_server_that_stops_is_no_client_that_leaves() -> None:
    departure, work = Departure(), Work()
    waiting = asyncio.create_task(or_disconnect(request_of(departure), work.run()))
    await work.has_begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.is_cancelled


async def test_a_client_that_leaves_later_ends_nothing_that_is_done() -> None:
    departure = Departure()
    ended: list[str] = []

    async def work() -> str:
        return "done"

    assert await or_disconnect(request_of(departure), work()) == "done"
    with on_leave(request_of(departure).scope["extensions"], lambda: ended.append("first")):
        pass
    with on_leave(request_of(departure).scope["extensions"], lambda: ended.append("second")):
        departure.announce()
        departure.announce()
    assert ended == ["second"]
