"""Faults of clients, and connections that break."""

import asyncio
from contextlib import AsyncExitStack, suppress

import pytest
from structlog.testing import capture_logs

from app.api import body_limits
from tests.faults.fault import Act
from tests.faults.lab import QUESTION, Lab, until
from tests.faults.scripts import FINISH, HEL, LO, Dictated
from tests.faults.wire import BODY, head, request, wire
from tests.support.backend import Exchange, Script
from tests.support.chunks import DONE, chunk, event, usage_chunk
from tests.support.proxy import reset
from tests.support.sse import events

REST = (FINISH, event(usage_chunk()), DONE)
GONE = "nothing: it has gone"
_BIG = event(chunk("", padding="x" * 64 * 1024))
"""A part of an answer that overfills the sockets' buffers."""
LONG = [HEL, *[_BIG] * 300, LO, *REST]
LONG_ANSWERS = {"llm_max_tokens": 16_384}
"""With fewer tokens the service takes such an answer for a flood."""


def gone_before_the_head(script: Script) -> Act:
    """Leave before the status; the backend answers afterwards."""

    async def act(lab: Lab) -> str:
        has_gone = asyncio.Event()

        async def late(exchange: Exchange) -> None:
            await has_gone.wait()
            await script(exchange)

        async def is_asked() -> bool:
            return lab.times_asked(QUESTION) == (1, 0)

        lab.scripts[QUESTION] = late
        asking = asyncio.create_task(lab.ask())
        await until(is_asked)
        lab.strike()
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        has_gone.set()
        return GONE

    return act


def gone_in_mid_answer(*, with_reset: bool) -> Act:
    """Leave; the backend continues."""

    async def act(lab: Lab) -> str:
        lab.scripts[QUESTION] = answer = Dictated(HEL)
        async with wire(lab) as line:
            await line.send(request())
            await line.receive_until(b'"Hel"')
            lab.strike()
            if with_reset:
                reset(line.writer)
        answer.say(LO, *REST)
        return GONE

    return act


async def gone_for_good(lab: Lab) -> str:
    """Leave; the backend would continue as long as a client reads."""
    async with lab.mid_answer(Dictated(HEL)):
        lab.strike()
    return GONE


async def comes_back(lab: Lab) -> str:
    """Leave, and resume the turn at the last event."""
    answer = Dictated(HEL)
    async with lab.mid_answer(answer) as turn:
        lab.strike()
    answer.say(LO, *REST)
    place = {"Last-Event-ID": f"{turn.id}-1"}
    async with lab.here.stream("GET", f"/chat/{turn.id}", headers=place) as response:
        rest = [each async for each in events(response)]
    return f"Hel{''.join(each.content for each in rest[:-1])}, then {rest[-1].data}"


async def asks_again_with_its_key(lab: Lab) -> str:
    """Leave without an event, and send the same request again."""
    lab.scripts[QUESTION] = answer = Dictated(HEL)
    ask = request("Idempotency-Key: k1")
    async with wire(lab) as line:
        await line.send(ask)
        await line.receive_until(b'"Hel"')
        reset(line.writer)
    lab.strike()
    async with wire(lab) as line:
        await line.send(request("Idempotency-Key: k1", "Connection: close"))
        answer.say(LO, *REST)
        return await line.seen()


async def half_closed(lab: Lab) -> str:
    """Close the sending side, and keep reading."""
    lab.scripts[QUESTION] = answer = Dictated(HEL)
    async with wire(lab) as line:
        await line.send(request("Connection: close"))
        await line.receive_until(b'"Hel"')
        lab.strike()
        line.writer.write_eof()
        seen = await line.seen()
        answer.say(LO, *REST)
        return seen


async def stalled(lab: Lab) -> str:
    """Read nothing until the service disconnects, then read what is left in the buffers."""
    with capture_logs() as logged:
        async with wire(lab) as line:
            await line.send(request())

            async def is_disconnected() -> bool:
                return any(entry["event"] == "slow reader disconnected" for entry in logged)

            await until(is_disconnected)
            return await line.seen()


async def slow(lab: Lab) -> str:
    """Read a little at a time, for longer than a client may read nothing."""
    async with wire(lab) as line:
        await line.send(request("Connection: close"))
        while await line.receive():
            await asyncio.sleep(0.005)
        return await line.seen()


def sends(*parts: bytes) -> Act:
    """Send these bytes on a connection of their own."""

    async def act(lab: Lab) -> str:
        async with wire(lab) as line:
            await line.send(*parts)
            return await line.seen()

    return act


def posts(body: bytes) -> Act:
    """Send a request with this body."""
    return sends(request("Connection: close", body=body))


def sends_and_goes(*parts: bytes) -> Act:
    """Send these bytes, and leave."""

    async def act(lab: Lab) -> str:
        async with wire(lab) as line:
            await line.send(*parts)
        return GONE

    return act


async def slow_body(lab: Lab) -> str:
    """Begin a body and do not end it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(body_limits, "BODY_SECONDS", 0.3)
        return await sends(head(f"Content-Length: {len(BODY)}"), BODY[:-1])(lab)


async def many_silent(lab: Lab) -> str:
    """Ask while a hundred connections send nothing."""
    async with AsyncExitStack() as lines:
        for _ in range(100):
            await lines.enter_async_context(wire(lab))
        return await lab.ask()
