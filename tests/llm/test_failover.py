"""Failover among backends in memory, on a clock that the tests move on."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from app.errors import ServiceError, UpstreamRateLimited, UpstreamTimeout, UpstreamUnavailable
from app.llm.backends import Backend, Backends
from app.llm.chunk import Chunk
from app.llm.client import LLMClient
from app.llm.deadlines import TimeLimits
from app.llm.endpoint import Endpoint
from app.llm.failover import Failover
from app.llm.request import CompletionRequest
from app.observability.metrics import Metrics
from tests.support.chunks import answer

MODEL = "offered"
LIMITS = TimeLimits(connect=1, first_token=60, token_gap=60, total=600)

Handler = Callable[[httpx.Request], Awaitable[httpx.Response]]


class Clock:
    """The event loop's time, which a test moves on."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._ahead = 0.0

    def __call__(self) -> float:
        return self._time() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@dataclass
class Server:
    """A backend in memory, which answers with its name or by its handler."""

    name: str
    handler: Handler | None = None
    asked: list[Any] = field(default_factory=list)
    """The bodies of the requests for completions."""
    keys: set[str] = field(default_factory=set)
    """What the requests had in their header Authorization."""

    async def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; of the model's window nothing is known."""
        if request.method == "GET":
            return httpx.Response(404)
        self.asked.append(json.loads(request.content))
        self.keys.add(request.headers["authorization"])
        return await self.handler(request) if self.handler else says(self.name)


class World:
    """Some backends, and what asks them."""

    def __init__(self, servers: list[Server], backends: list[Backend]) -> None:
        self.servers = servers
        self.backends = backends
        self.windows = Backends(backends)
        self.metrics = Metrics()
        self.failover = Failover(self.windows, limits=LIMITS, observer=self.metrics)

    async def ask(self, conversation: str = "", **fields: Any) -> str:
        """Return the text of an answer."""
        chunks: list[Chunk] = []
        request = CompletionRequest(
            **{
                "model": MODEL,
                "messages": [{"role": "user", "content": "Hi"}],
                "max_tokens": 64,
                "sampling": {},
                "affinity": conversation,
                **fields,
            }
        )
        await self.failover.stream(
            request,
            chunks.extend,
            began=asyncio.get_running_loop().time(),
            on_attempt=lambda _: None,
        )
        return "".join(chunk.content for chunk in chunks)

    def give_priorities(self, *priorities: int) -> None:
        """Order the backends, the lowest number first."""
        for backend, priority in zip(self.backends, priorities, strict=True):
            backend.priority = priority

    def attempts(self, name: str, outcome: str) -> float | None:
        """Return how many requests to a backend ended so."""
        labels = {"backend": name, "outcome": outcome}
        return self.metrics.registry.get_sample_value("chat_backend_attempts_total", labels)


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    loop = asyncio.get_running_loop()
    clock = Clock(loop.time)
    monkeypatch.setattr(loop, "time", clock)
    return clock


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world("abc") as world:
        yield world


@asynccontextmanager
async def open_world(names: str) -> AsyncIterator[World]:
    """Open clients of backends with these names, a letter each."""
    servers = [Server(name) for name in names]
    async with AsyncExitStack() as clients:
        backends = []
        for server in servers:
            endpoint = await clients.enter_async_context(
                Endpoint(
                    base_url=f"http://{server.name}.test/v1",
                    api_key=f"sk-key-of-{server.name}",
                    limits=LIMITS,
                    transport=httpx.MockTransport(server.handle),
                )
            )
            backends.append(
                Backend(
                    server.name,
                    LLMClient(endpoint, limits=LIMITS, context_tokens=None),
                    url=f"http://{server.name}.test/v1",
                    models={MODEL: f"model-of-{server.name}"},
                )
            )
        yield World(servers, backends)


def says(text: str) -> httpx.Response:
    return httpx.Response(200, content=b"".join(answer(text)))


def replies(status: int, message: str = "out of order", **headers: str) -> Handler:
    async def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json={"error": {"message": message}}, headers=headers)

    return handler


def answers_after(seconds: float, clock: Clock, response: Callable[[], httpx.Response]) -> Handler:
    """Let the clock go on before the answer."""

    async def handler(_: httpx.Request) -> httpx.Response:
        clock.advance(seconds)
        await asyncio.sleep(0.01)  # deadlines that have passed are noticed
        return response()

    return handler


async def test_a_backend_that_is_dead_for_a_minute_is_probed_once_a_cooldown_and_comes_back_by_itself(
    world: World, clock: Clock
) -> None:
    world.give_priorities(0, 1, 2)
    a, b, _ = world.servers
    a.handler = replies(503)
    answers = []
    for number in range(100):
        answers.append(await world.ask(str(number)))
        clock.advance(0.6)
    assert answers == ["b"] * 100
    # Three failures, and probes after 5, 10 and 20 seconds; the next one is due after 40 more.
    assert len(a.asked) == 3 + 3
    assert world.attempts("a", "upstream_unavailable") == 6
    a.handler = None
    clock.advance(20)
    assert [await world.ask(str(number)) for number in range(3)] == ["a"] * 3
    assert len(b.asked) == 100


async def test_fifty_turns_of_a_conversation_have_one_backend_and_only_the_dead_ones_conversations_move(
    world: World,
) -> None:
    conversations = [f"user\n{number}" for number in range(40)]
    before = {each: await world.ask(each) for each in conversations}
    assert set(before.values()) == {"a", "b", "c"}
    dead = before["user\n0"]
    assert {await world.ask("user\n0") for _ in range(50)} == {dead}
    next(each for each in world.servers if each.name == dead).handler = replies(503)
    after = {each: await world.ask(each) for each in conversations}
    assert {each for each in conversations if after[each] != before[each]} == {
        each for each in conversations if before[each] == dead
    }
    assert {await world.ask("user\n0") for _ in range(50)} == {after["user\n0"]}


async def test_a_429_keeps_requests_off_for_its_retry_after_and_leaves_the_breaker_closed(
    world: World, clock: Clock
) -> None:
    world.give_priorities(0, 1, 2)
    a, b, c = world.servers
    a.handler = replies(429, "Slow down", **{"Retry-After": "5"})
    assert [await world.ask() for _ in range(4)] == ["b"] * 4
    clock.advance(4.5)
    assert await world.ask() == "b"
    assert len(a.asked) == 1
    assert not world.backends[0].breakers[MODEL].is_open
    b.handler = replies(429, "Slow down", **{"Retry-After": "30"})
    c.handler = replies(429, "Slow down", **{"Retry-After": "40"})
    clock.advance(1)
    with pytest.raises(UpstreamRateLimited) as last:
        await world.ask()
    assert last.value.retry_after == 40
    with pytest.raises(UpstreamRateLimited) as unasked:
        await world.ask()
    assert unasked.value.retry_after == 5
    assert [len(each.asked) for each in world.servers] == [2, 6, 1]
    a.handler = None
    clock.advance(5)
    assert await world.ask() == "a"


async def test_at_most_three_are_asked_and_also_if_all_breakers_are_open() -> None:
    async with open_world("abcd") as world:
        world.give_priorities(0, 1, 2, 3)
        for server in world.servers:
            server.handler = replies(503)
        for _ in range(3):
            with pytest.raises(UpstreamUnavailable):
                await world.ask()
        assert [len(each.asked) for each in world.servers] == [3, 3, 3, 0]
        for _ in range(3):
            with pytest.raises(UpstreamUnavailable):
                await world.ask()  # asks the fourth, twice each time: it is the only one left
        with pytest.raises(UpstreamUnavailable):
            await world.ask()
        assert [len(each.asked) for each in world.servers] == [4, 4, 4, 6]
        world.servers[0].handler = None
        assert await world.ask() == "a"
        assert not world.backends[0].breakers[MODEL].is_open


@pytest.mark.parametrize(("seconds", "by"), [(19, "a"), (21, "b")])
async def test_the_time_for_the_first_token_is_shared(
    world: World, clock: Clock, seconds: float, by: str
) -> None:
    world.give_priorities(0, 1, 2)
    world.servers[0].handler = answers_after(seconds, clock, lambda: says("a"))
    # What the first has left over is shared by the others: 39 seconds.
    world.servers[1].handler = answers_after(19, clock, lambda: says("b"))
    assert await world.ask() == by


async def test_the_last_backend_has_all_the_time_that_is_left_and_no_more(world: World, clock: Clock) -> None:
    world.give_priorities(0, 1, 2)
    a, b, c = world.servers
    a.handler = b.handler = answers_after(20.5, clock, lambda: says("too late"))
    c.handler = answers_after(18, clock, lambda: says("c"))
    assert await world.ask() == "c"
    c.handler = answers_after(20, clock, lambda: says("too late"))
    with pytest.raises(UpstreamTimeout, match="within 60 seconds"):
        await world.ask()


async def test_a_completion_that_is_not_streamed_may_take_the_whole_time(world: World, clock: Clock) -> None:
    world.give_priorities(0, 1, 2)
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}}]}
    world.servers[0].handler = answers_after(50, clock, lambda: httpx.Response(200, json=whole))
    await world.ask(is_streamed=False)
    assert [len(each.asked) for each in world.servers] == [1, 0, 0]


async def test_the_only_backend_that_can_be_asked_is_asked_again(world: World) -> None:
    world.give_priorities(0, 1, 2)
    a, b, c = world.servers
    a.handler = b.handler = replies(503)
    for _ in range(3):
        assert await world.ask() == "c"
    responses = [httpx.Response(502), says("at last")]

    async def recovers(_: httpx.Request) -> httpx.Response:
        return responses.pop(0)

    c.handler = recovers
    assert await world.ask() == "at last"
    assert [len(each.asked) for each in (a, b)] == [3, 3]


async def test_what_is_refused_is_not_asked_elsewhere(world: World) -> None:
    world.give_priorities(0, 1, 2)
    for message in ("temperature is too high", "Content Exists Risk", "maximum context length is 10 tokens"):
        world.servers[0].handler = replies(400, message)
        with pytest.raises(ServiceError) as failure:
            await world.ask(added=frozenset())
        assert failure.value.type == "invalid_request_error"
    assert [len(each.asked) for each in world.servers] == [3, 0, 0]
    assert not world.backends[0].breakers[MODEL].is_open


async def test_each_backend_gets_its_own_model_and_key_and_is_asked_in_its_own_dialect(world: World) -> None:
    world.give_priorities(0, 1, 2)
    a, b, _ = world.servers

    async def takes_another_cap(request: httpx.Request) -> httpx.Response:
        if "max_tokens" in json.loads(request.content):
            return await replies(400, "'max_tokens': use 'max_completion_tokens' instead.")(request)
        return says("a")

    a.handler = takes_another_cap
    assert [await world.ask(), await world.ask()] == ["a", "a"]
    assert ["max_tokens" in body for body in a.asked] == [True, False, False]
    a.handler = replies(503)
    assert await world.ask() == "b"
    assert ["max_tokens" in body for body in b.asked] == [True]
    for server in (a, b):
        assert {body["model"] for body in server.asked} == {f"model-of-{server.name}"}
        assert server.keys == {f"Bearer sk-key-of-{server.name}"}


async def test_a_window_is_learnt_by_backend_and_the_one_to_be_asked_counts(world: World) -> None:
    world.give_priorities(0, 1, 1)
    a, b, _ = world.backends
    watches = [asyncio.create_task(each.client.context_sizes.watch()) for each in world.backends]
    assert (await world.windows.of(MODEL)).likely is None
    a.client.context_sizes.learn("model-of-a", "maximum context length is 4096 tokens")
    b.client.context_sizes.learn("model-of-b", "maximum context length is 2048 tokens")
    assert (await world.windows.of(MODEL)).likely == 4096
    b.accepted(MODEL, 5000)  # it meant something else
    assert (await a.context_size(MODEL)).likely == 4096
    assert (await b.context_size(MODEL)).likely is None
    b.client.context_sizes.learn("model-of-b", "maximum context length is 2048 tokens")
    world.servers[0].handler = replies(503)
    for _ in range(3):
        await world.ask()
    assert (await world.windows.of(MODEL)).likely == 2048
    for watch in watches:
        watch.cancel()


async def test_a_request_that_is_cancelled_leaves_no_trace_but_a_count(world: World) -> None:
    world.give_priorities(0, 1, 2)
    is_asked = asyncio.Event()

    async def hangs(_: httpx.Request) -> httpx.Response:
        is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    world.servers[0].handler = hangs
    task = asyncio.create_task(world.ask())
    await is_asked.wait()
    assert world.backends[0].running == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert world.backends[0].running == 0
    assert world.attempts("a", "cancelled") == 1
    assert not world.backends[0].breakers[MODEL].is_open
