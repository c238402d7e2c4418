"""Two real models behind the service: one is killed while both answer, and the other one stands in for it."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from pathlib import Path

import httpx

from tests.support.process import started
from tests.support.sse import Received, events

CLIENTS = 8


async def ask(client: httpx.AsyncClient, user: int, has_begun: asyncio.Event) -> list[Received]:
    """Ask, note the first token, and read to the end."""
    body = {"user_id": f"user{user}", "message": "Tell me about the sea.", "max_tokens": 16}
    received: list[Received] = []
    async with client.stream("POST", "/chat", json=body) as response:
        assert response.status_code == 200, (await response.aread()).decode()
        async for each in events(response):
            received.append(each)
            if each.data != "[DONE]" and each.content:
                has_begun.set()
    return received


async def model_of(service: int, name: str) -> int:
    """Return the process id of a model of the service: the child of a shell that is the service's child."""
    listing = await asyncio.create_subprocess_exec("ps", "-ww", "-eo", "pid=,ppid=,args=", stdout=PIPE)
    lines = [line.split(None, 2) for line in (await listing.communicate())[0].decode().splitlines()]
    parents = {pid: parent for pid, parent, *_ in lines}
    (found,) = (
        int(pid)
        for pid, parent, command in lines
        if command.endswith(f" {name}")
        and not command.startswith("/bin/sh")
        and parents.get(parent) == str(service)
    )
    return found


def is_whole(received: list[Received]) -> bool:
    return received[-1].data == "[DONE]"


def has_token(received: list[Received]) -> bool:
    return any(each.content for each in received[:-1])


async def test_if_one_of_two_models_is_killed_under_load_no_client_sees_an_error_before_its_first_token(
    tmp_path: Path,
) -> None:
    async with started(tmp_path, "examples.two_backends") as (service, client):
        has_begun = asyncio.Event()
        async with asyncio.TaskGroup() as asking:
            tasks = [asking.create_task(ask(client, user, has_begun)) for user in range(CLIENTS)]
            await has_begun.wait()
            os.kill(await model_of(service.process.pid, "first"), signal.SIGKILL)
        answers = [task.result() for task in tasks]
        assert all(map(has_token, answers))
        assert sum(map(is_whole, answers)) >= CLIENTS // 2
        # The breaker learns, and the other one answers everything.
        later = [await ask(client, user, has_begun) for user in range(CLIENTS, CLIENTS + 2)]
        assert all(map(is_whole, later))
        llm = (await client.get("/ready")).json()["checks"]["llm"]
    assert {name: each["status"] for name, each in llm["backends"].items()} == {
        "first": "down",
        "second": "up",
    }
