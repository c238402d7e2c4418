"""Acts of a client while its store is broken at some moment of a turn."""

import asyncio
from hashlib import sha1
from importlib.resources import files

import pytest

from app.turns import generation
from tests.faults.fault import Act
from tests.faults.lab import Lab, as_seen
from tests.faults.scripts import FINISH, HEL, LO, Dictated
from tests.faults.store_breaks import Break
from tests.support.chunks import DONE, chunk, event, usage_chunk
from tests.support.sse import events
from tests.support.turns import raw

_REST = (FINISH, event(usage_chunk()), DONE)


def at_the_start(broken: Break) -> Act:
    """Ask while the store is broken."""

    async def act(lab: Lab) -> str:
        async with broken(lab):
            lab.strike()
            return await lab.ask()

    return act


def for_half_a_second_at_the_start(broken: Break) -> Act:
    """Ask while the store is broken; it works again before the time-out."""

    async def act(lab: Lab) -> str:
        async with broken(lab):
            lab.strike()
            asking = asyncio.create_task(lab.ask())
            await asyncio.sleep(0.5)
        return await asking

    return act


def in_mid_answer(broken: Break, *, seconds: float = 0.2, seconds_afterwards: float = 0) -> Act:
    """Keep reading while the store is broken."""

    async def act(lab: Lab) -> str:
        answer = Dictated(HEL)
        async with lab.mid_answer(answer) as turn:
            lab.strike()
            async with broken(lab):
                answer.say(event(chunk("l")))
                await turn.hears("l")
                await asyncio.sleep(seconds)
            await asyncio.sleep(seconds_afterwards)
            answer.say(event(chunk("o")), *_REST)
            return await turn.end()

    return act


def in_mid_answer_elsewhere(broken: Break) -> Act:
    """Follow a turn of another process while the store is broken."""

    async def act(lab: Lab) -> str:
        answer = Dictated(HEL)
        async with (
            lab.mid_answer(answer, client=lab.elsewhere) as turn,
            lab.here.stream("GET", f"/chat/{turn.id}") as response,
        ):
            stream = events(response)
            assert (await anext(stream)).content == "Hel"
            lab.strike()
            async with broken(lab):
                answer.say(LO)
                await turn.hears("lo")
            answer.say(*_REST)
            rest = [each async for each in stream]
            assert await turn.end() == "Hello, then [DONE]"
        return f"Hel{''.join(each.content for each in rest[:-1])}, then {rest[-1].data}"

    return act


def until_it_ends(broken: Break) -> Act:
    """Wait for the turn's end while the store is broken."""

    async def act(lab: Lab) -> str:
        answer = Dictated(HEL)
        async with lab.mid_answer(answer) as turn:
            lab.strike()
            async with broken(lab):
                return await turn.end()

    return act


def at_the_end(broken: Break, *, seconds: float = 0.3, is_in_the_way: bool = True) -> Act:
    """Get the last token while the store is broken; if that blocks the end, the end waits for the repair."""

    async def act(lab: Lab) -> str:
        answer = Dictated(HEL)
        async with lab.mid_answer(answer) as turn:
            lab.strike()
            async with broken(lab):
                answer.say(LO, *_REST)
                await turn.hears("lo")
                ending = asyncio.create_task(turn.end())
                if is_in_the_way:
                    assert not (await asyncio.wait({ending}, timeout=seconds))[0]
            return await ending

    return act


def too_long_at_the_end(broken: Break) -> Act:
    """Get the last token while the store is broken for longer than the end waits."""

    async def act(lab: Lab) -> str:
        answer = Dictated(HEL, LO, *_REST)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(generation, "STORE_WAIT_SECONDS", 0.3)
            async with lab.mid_answer(answer) as turn, broken(lab):
                lab.strike()
                return await turn.end()

    return act


def reply_lost_at_the_start(*, times: int) -> Act:
    """Lose the reply to the executed start of a turn."""

    async def act(lab: Lab) -> str:
        lost = lab.store_line.lose_reply(_script("start_turn"), times=times)
        seen = await lab.ask()
        assert lost.is_set()
        return seen

    return act


def reply_lost_in_mid_answer(*, silently: bool) -> Act:
    """Lose the reply to a write of the journal; a reader on another process gets every event once."""

    async def act(lab: Lab) -> str:
        answer = Dictated(HEL)
        async with lab.mid_answer(answer) as turn:
            lab.strike()
            lost = lab.store_line.lose_reply(_script("append_journal"), silently=silently)
            answer.say(event(chunk("l")))
            await turn.hears("l")
            await lost.wait()
            answer.say(event(chunk("o")), *_REST)
            seen = await turn.end()
        assert await raw(lab.elsewhere, turn.id) == await raw(lab.here, turn.id)
        async with lab.elsewhere.stream("GET", f"/chat/{turn.id}") as response:
            assert await as_seen(events(response)) == seen
        return seen

    return act


def reply_lost_at_the_end(script: str, *, times: int = 1, silently: bool = False) -> Act:
    """Lose the reply to an executed step of the end."""

    async def act(lab: Lab) -> str:
        answer = Dictated(HEL)
        async with lab.mid_answer(answer) as turn:
            lab.strike()
            lost = lab.store_line.lose_reply(_script(script), times=times, silently=silently)
            answer.say(LO, *_REST)
            seen = await turn.end()
        assert lost.is_set()
        return seen

    return act


def _script(name: str) -> bytes:
    """Return the digest by which EVALSHA names a script."""
    text = files("app.store").joinpath(f"scripts/{name}.lua").read_bytes()
    return sha1(text, usedforsecurity=False).hexdigest().encode()
