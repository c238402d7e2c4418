"""Everything that a backend can send: the service asks one that sends whatever comes to mind.

Every client gets a valid refusal or a valid stream with one end. Its conversation can be read and goes on.
"""

import asyncio
import json
import random

import httpx

from tests.fuzz.backend_answers import answer_by
from tests.fuzz.world import Target, World
from tests.support.backend import Exchange, says

_VISITORS = 8
_SOUND = "Are you still there?"


async def fuzz(world: World) -> None:
    """Let visitors ask until the time is over."""

    async def script(exchange: Exchange) -> None:
        question = exchange.body["messages"][-1]["content"]
        if question == _SOUND:
            await says("Yes")(exchange)
            return
        name, answer = answer_by(random.Random(question))  # noqa: S311 - what is found can be repeated
        world.counts[name] += 1
        await answer(exchange)

    world.backend.script = script
    seed = world.chance.randrange(10**6)
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.port}", timeout=60) as client,
        asyncio.TaskGroup() as tasks,
    ):
        for n in range(_VISITORS):
            tasks.create_task(_visit(client, world, f"{seed}-{n}"))


async def _visit(client: httpx.AsyncClient, world: World, name: str) -> None:
    n = 0
    while not world.is_over.is_set():
        n += 1
        user = f"user-{name}-{n}"
        try:
            world.counts[await _ask(client, user, f"question {name} {n}")] += 1
            page = await client.get(f"/users/{user}/conversations/default")
            assert page.status_code in {200, 404}, page.status_code
            end = await _ask(client, user, _SOUND)
            assert end == "[DONE]", end
            for is_streamed in (True, False):
                end = await _complete(client, f"question {name} {n}", is_streamed=is_streamed)
                world.counts[f"/v1 {end}"] += 1
                assert await _complete(client, _SOUND, is_streamed=is_streamed) == "[DONE]"
        except Exception as error:  # noqa: BLE001 - any of them is a finding
            world.violations.append(f"question {name} {n}: {error!r}"[:300])


async def _ask(client: httpx.AsyncClient, user: str, message: str) -> str:
    """Ask; hold the answer against the contract, and return its end."""
    response = await client.post("/chat", json={"user_id": user, "message": message, "if_busy": "interrupt"})
    if response.status_code != httpx.codes.OK:
        code: str = response.json()["error"]["code"]
        assert response.status_code != httpx.codes.INTERNAL_SERVER_ERROR, response.text
        return f"{response.status_code} {code}"
    events = [each for each in response.content.decode().split("\n\n") if each and not each.startswith(":")]
    for n, each in enumerate(events[:-1], 1):
        line, _, data = each.partition("\ndata: ")
        assert line.endswith(f"-{n}"), line
        json.loads(data, parse_constant=_refuse_constant)
    line, _, data = events[-1].partition("\ndata: ")
    assert line.endswith("-end"), line
    end: str = data if data == "[DONE]" else json.loads(data)["error"]["code"]
    assert end != "internal_error"
    return end


async def _complete(client: httpx.AsyncClient, message: str, *, is_streamed: bool) -> str:
    """Ask for a completion; hold it against OpenAI's, and return its end."""
    messages = [{"role": "user", "content": message}]
    body = {"model": "test-model", "messages": messages, "stream": is_streamed}
    response = await client.post("/v1/chat/completions", json=body)
    if response.status_code != httpx.codes.OK:
        code: str = response.json()["error"]["code"]
        assert response.status_code != httpx.codes.INTERNAL_SERVER_ERROR, response.text
        return f"{response.status_code} {code}"
    if not is_streamed:
        completion = json.loads(response.content, parse_constant=_refuse_constant)
        assert all(choice["message"]["role"] == "assistant" for choice in completion["choices"]), completion
        return "[DONE]"
    events = [each for each in response.content.decode().split("\n\n") if each and not each.startswith(":")]
    *chunks, last = [each.removeprefix("data: ") for each in events]
    for data in chunks:
        assert not json.loads(data, parse_constant=_refuse_constant).get("error"), data
    end: str = last if last == "[DONE]" else json.loads(last)["error"]["code"]
    assert end != "internal_error", last
    return end


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


TARGET = Target(
    name="what a backend sends",
    fuzz=fuzz,
    settings={
        "llm_max_tokens": 256,
        "llm_first_token_timeout_seconds": 8,
        "llm_token_gap_timeout_seconds": 4,
        "llm_total_timeout_seconds": 20,
        "resume_ttl_seconds": 20,
        "history_ttl_seconds": 60,
    },
)
