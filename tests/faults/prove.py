"""The checks that apply to every fault."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlsplit

import httpx
from redis.asyncio import Redis

from app.main import create_app
from tests.faults.bystander import undisturbed
from tests.faults.fault import NOTHING, Fault
from tests.faults.footprint import footprint
from tests.faults.lab import NEXT_QUESTION, QUESTION, USER, Lab, until
from tests.faults.scripts import one_after_the_other
from tests.support.backend import Backend, running_backend
from tests.support.proxy import proxy_to
from tests.support.service import client_of, serving, settings_for
from tests.support.store import Store, running_turns


async def prove(fault: Fault, store: Store) -> float:
    """Let a fault happen, and check every claim about it.

    The client sees, and the conversation stores, what the row says. A turn that failed before
    its first event leaves nothing behind. A bystander's stream, begun before, gets every token and its end.
    The conversation takes the next turn. In the end nothing is held that was not held before.

    Returns:
        The seconds from the fault, or from the request, to the client's end.
    """
    async with _lab(fault, store) as lab:
        # A first turn, so that what is opened once is open, and the store knows the scripts.
        assert await lab.ask(_sound(lab, fault), message=NEXT_QUESTION, user_id="first") == "Yes, then [DONE]"
        records = await lab.keys("chat:turn:*:record:*")
        before = footprint(pooled_ports=lab.pooled_ports)
        lab.scripts[QUESTION] = one_after_the_other(fault.answers)
        lab.second_scripts[QUESTION] = one_after_the_other(fault.second)
        async with undisturbed(lab, owner=_sound(lab, fault)):
            records |= await lab.keys("chat:turn:*:record:*")
            lab.strike()
            seen = await fault.act(lab)
            seconds = time.monotonic() - lab.struck_at
            assert seen == fault.sees
            assert lab.times_asked(QUESTION) == (fault.asked, fault.asked_second)
            await _check_what_is_stored(lab, fault, records)
            await _check_that_the_conversation_continues(lab, fault)

        async def is_as_before() -> bool:
            return footprint(pooled_ports=lab.pooled_ports).is_within(before)

        async def nothing_runs() -> bool:
            return not await running_turns(lab.redis) and not await lab.keys("chat:*:running:*")

        await until(nothing_runs)
        await until(is_as_before)
    return seconds


async def _check_what_is_stored(lab: Lab, fault: Fault, records: set[bytes]) -> None:
    if not fault.sees.endswith("[DONE]"):

        async def is_stored() -> bool:
            return await lab.stored() == fault.stored

        # The client got no [DONE], so the answer may be stored later.
        await until(is_stored)
    assert await lab.stored() == fault.stored
    if fault.stored == NOTHING:

        async def nothing_is_left() -> bool:
            left = await lab.keys(f"chat:{{{USER}}}:*")
            return not left and await lab.keys("chat:turn:*:record:*") <= records

        await until(nothing_is_left)


async def _check_that_the_conversation_continues(lab: Lab, fault: Fault) -> None:
    assert await lab.ask(_sound(lab, fault), message=NEXT_QUESTION) == "Yes, then [DONE]"
    before = "" if fault.stored == NOTHING else f"{fault.stored}, "
    assert await lab.stored() == f"{before}Yes (complete)"


def _sound(lab: Lab, fault: Fault) -> httpx.AsyncClient:
    """Return a process that is set up for ordinary answers."""
    return lab.elsewhere if _binds_answers(fault) else lab.here


def _binds_answers(fault: Fault) -> bool:
    """Tell whether the case's settings keep its process from giving ordinary answers."""
    return any(name.startswith("llm_") for name in fault.settings)


@asynccontextmanager
async def _lab(fault: Fault, store: Store) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(running_backend())
        backend_port = urlsplit(backend.url).port
        assert backend_port is not None  # it listens on one
        backend_line = await stack.enter_async_context(proxy_to(("127.0.0.1", backend_port)))
        store_line = await stack.enter_async_context(proxy_to(store.address))

        async def served(**values: object) -> httpx.AsyncClient:
            app = create_app(settings_for(redis_url=f"redis://127.0.0.1:{store_line.port}/0", **values))
            client = await stack.enter_async_context(serving(app))
            # Open connections can only be counted if the client keeps none for a next request.
            return await stack.enter_async_context(client_of(str(client.base_url), keeps_connections=False))

        second = await stack.enter_async_context(running_backend()) if fault.second else None
        backends = _as_settings(f"http://127.0.0.1:{backend_line.port}/v1", second)
        here = await served(**{**backends, **fault.settings})
        has_replica = fault.has_replica or _binds_answers(fault)
        shared = {name: value for name, value in fault.settings.items() if not name.startswith("llm_")}
        elsewhere = await served(llm_base_url=backend.url, **shared) if has_replica else here
        lab = Lab(
            here=here,
            elsewhere=elsewhere,
            backend=backend,
            backend_line=backend_line,
            second=second,
            store=store,
            store_line=store_line,
            redis=Redis.from_url(store.url),
        )
        try:
            await lab.redis.flushall()
            yield lab
        finally:
            await lab.redis.aclose()


def _as_settings(url: str, second: Backend | None) -> dict[str, object]:
    if second is None:
        return {"llm_base_url": url}
    entries = [
        {"name": name, "url": each, "models": {"test-model": "test-model"}, "priority": priority}
        for priority, (name, each) in enumerate({"first": url, "second": second.url}.items())
    ]
    return {"llm_base_url": "", "llm_backends": json.dumps(entries)}
