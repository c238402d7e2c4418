"""A rolling restart under load, as Kubernetes does one: every replica is replaced, and no client notices.

The clients do what the contract leaves to them, or to the proxy for them: a request that a draining replica
has refused, or whose line broke before the first event, is sent again with the same Idempotency-Key; after
that they come back with Last-Event-ID.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from redis.asyncio import Redis

from tests.support.backend import Backend, Exchange
from tests.support.balancer import running_balancer
from tests.support.chunks import answer
from tests.support.process import ServiceProcess, started
from tests.support.service import client_of
from tests.support.sse import Received, events
from tests.support.store import running_turns, stored_messages
from tests.support.turns import turn_of

REPLICAS = 2
CLIENTS = 8
WORDS = 20
WORD_SECONDS = 0.03
STAYS = [1, 5, 12, WORDS, 2 * WORDS]
"""After how many events a client may hang up; the last of them it never hears."""
PLACES = [*map(str, range(1, WORDS + 3)), "end"]
"""A role, the words, a finish, and the end."""


def words(question: str) -> list[str]:
    """The answer's; no other answer of the conversation has any of them."""
    return [f"{question}:{n} " for n in range(WORDS)]


async def answer_slowly(exchange: Exchange) -> None:
    await exchange.head()
    for part in answer(*words(exchange.body["messages"][-1]["content"])):
        await exchange.send(part)
        await asyncio.sleep(WORD_SECONDS)


class Client:
    """Asks one question after the other, and comes back for the rest wherever its line breaks."""

    def __init__(self, http: httpx.AsyncClient, user: str) -> None:
        self._http = http
        self._chance = random.Random(user)  # noqa: S311 - no secret
        self.user = user
        self.questions: list[str] = []
        """Those that were answered."""
        self.has_been_answered = asyncio.Event()

    async def ask_until(self, is_over: asyncio.Event) -> None:
        """Ask until it is over; every answer is whole, with no event missing or doubled."""
        for n in itertools.count():
            if is_over.is_set():
                return
            question = f"q{n}"
            received = await self._ask(question)
            assert [each.id for each in received] == [f"{turn_of(received[0])}-{place}" for place in PLACES]
            assert [each.content for each in received[1 : WORDS + 1]] == words(question)
            assert received[-1].data == "[DONE]"
            self.questions.append(question)
            self.has_been_answered.set()

    async def _ask(self, question: str) -> list[Received]:
        received: list[Received] = []
        while not received or not received[-1].id.endswith("-end"):
            try:
                async with self._request(question, received) as response:
                    if response.status_code == 503:
                        await self._wait_to_retry(response)
                        continue
                    assert response.status_code == 200, await response.aread()
                    await self._listen(response, received)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                await asyncio.sleep(0.1)
        return received

    def _request(
        self, question: str, received: Sequence[Received]
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Request the rest if an event has arrived, otherwise the answer, with the same key each time."""
        if received:
            last = {"Last-Event-ID": received[-1].id}
            return self._http.stream("GET", f"/chat/{turn_of(received[-1])}", headers=last)
        body = {"user_id": self.user, "message": question}
        return self._http.stream("POST", "/chat", json=body, headers={"Idempotency-Key": question})

    async def _wait_to_retry(self, response: httpx.Response) -> None:
        """A replica that drains begins no turn: this is no error yet, but to be asked again elsewhere."""
        await response.aread()
        assert response.json()["error"]["code"] == "draining"
        await asyncio.sleep(int(response.headers["Retry-After"]))

    async def _listen(self, response: httpx.Response, received: list[Received]) -> None:
        stays_for = self._chance.choice(STAYS)
        async for each in events(response):
            received.append(each)
            stays_for -= 1
            if not stays_for:
                return


async def everyone_is_answered(clients: Sequence[Client]) -> None:
    """Wait until each client has had a whole answer from now on."""
    for client in clients:
        client.has_been_answered.clear()
    for client in clients:
        await client.has_been_answered.wait()


@dataclass
class Replica:
    service: ServiceProcess
    http: httpx.AsyncClient
    exit_code: asyncio.Task[int]
    """Reads the log meanwhile, which would block the process otherwise."""

    async def stop(self) -> None:
        """Wait for a good end."""
        self.service.process.terminate()
        assert await self.exit_code == 0
        assert not [entry for entry in self.service.log if entry["level"] in {"error", "critical"}]


@asynccontextmanager
async def running_replica(cwd: Path, backend: Backend, store: str) -> AsyncIterator[Replica]:
    """A replica that is ready."""
    async with started(cwd, llm_base_url=backend.url, llm_model="test-model", redis_url=store) as (
        service,
        http,
    ):
        replica = Replica(service, http, asyncio.create_task(service.ended()))
        try:
            while not (await http.get("/ready")).is_success:
                await asyncio.sleep(0.1)
            yield replica
        finally:
            replica.exit_code.cancel()


async def test_every_answer_outlives_the_replica_that_began_it(
    backend: Backend, own_store: str, tmp_path: Path
) -> None:
    backend.script = answer_slowly
    is_over = asyncio.Event()
    async with AsyncExitStack() as stack:
        balancer = await stack.enter_async_context(running_balancer())
        http = await stack.enter_async_context(client_of(balancer.url, keeps_connections=False))
        clients = [Client(http, f"user{n}") for n in range(CLIENTS)]

        async def start() -> Replica:
            replica = await stack.enter_async_context(running_replica(tmp_path, backend, own_store))
            balancer.replicas.append(replica.http)
            return replica

        replicas = [await start() for _ in range(REPLICAS)]
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(client.ask_until(is_over))
            for replica in replicas:
                await everyone_is_answered(clients)
                stopping = group.create_task(replica.stop())
                balancer.reset()
                await stopping
                balancer.replicas.remove(replica.http)
                await start()
            await everyone_is_answered(clients)
            is_over.set()
        async with Redis.from_url(own_store) as redis:
            for client in clients:
                assert [
                    (m["content"], m.get("status")) for m in await stored_messages(redis, client.user)
                ] == [
                    message
                    for question in client.questions
                    for message in ((question, None), ("".join(words(question)), "complete"))
                ]
            assert not await running_turns(redis)
    # No question was asked of the model twice, however often it was sent.
    assert len(backend.completions) == sum(len(client.questions) for client in clients)
