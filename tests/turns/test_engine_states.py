"""Whatever happens to turns, in whichever order, the contract's promises hold: two engines, one store."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
from fakeredis import FakeAsyncRedis, FakeServer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from app.errors import ConversationBusy, TurnNotFound
from app.models import TurnRequest
from app.observability.tracing import Tracing
from app.service import Service, open_service
from app.store import keys
from app.turns.stream import Reader
from tests.support.chunks import DONE, chunk, event
from tests.support.service import settings_for
from tests.support.store import running_turns
from tests.support.turns import rest_of

CONVERSATIONS = ["a", "b"]
USER = "user"


class Feed(httpx.AsyncByteStream):
    """The backend's answer to one question, as the machine lets it come."""

    def __init__(self) -> None:
        self.parts = asyncio.Queue[bytes | None]()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self.parts.get()) is not None:
            yield part


@dataclass
class Asked:
    """A turn as the machine knows it."""

    turn_id: str
    conversation_id: str
    process: int
    feed: Feed
    words: list[str] = field(default_factory=list)
    is_over: bool = False
    is_deleted: bool = False


@dataclass
class Following:
    """A reader, and what it has got."""

    asked: Asked
    after: int
    process: "Process"
    reader: Reader
    task: asyncio.Task[list[bytes]]


class Process:
    """One service on the shared store, that can be killed."""

    def __init__(self, store: FakeServer, transport: httpx.AsyncBaseTransport) -> None:
        settings = settings_for(
            llm_context_tokens=4096,
            llm_status_wait_seconds=0,
            system_prompt="none",
            resume_grace_seconds=60,
            turn_lease_seconds=3,
            max_active_turns_per_user=0,
            rate_limit_turns_per_minute=0,
        )
        self._context: AbstractAsyncContextManager[Service] = open_service(
            settings,
            tracing=Tracing(""),
            transport=transport,
            redis=FakeAsyncRedis(server=store),
        )

    async def start(self) -> None:
        before = asyncio.all_tasks()
        self.service = await self._context.__aenter__()
        self._loops = asyncio.all_tasks() - before

    async def kill(self, turn_ids: set[str]) -> None:
        """End it as SIGKILL would: nothing is stored, nothing is said."""
        mine = {f"turn {turn_id}" for turn_id in turn_ids}
        tasks = self._loops | {task for task in asyncio.all_tasks() if task.get_name() in mine}
        while pending := {task for task in tasks if not task.done()}:
            for task in pending:
                task.cancel()
            await asyncio.wait(pending, timeout=0.05)

    async def stop(self) -> None:
        await self._context.__aexit__(None, None, None)


class Turns(RuleBasedStateMachine):
    """Two processes, two conversations, and everything that can happen to a turn."""

    asked = Bundle("asked")
    following = Bundle("following")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.feeds: dict[str, Feed] = {}
        self.turns: list[Asked] = []
        self.deleted: set[str] = set()
        self.run(self.set_up())

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    async def set_up(self) -> None:
        store = FakeServer()
        self.redis = FakeAsyncRedis(server=store)

        def respond(request: httpx.Request) -> httpx.Response:
            question = json.loads(request.content)["messages"][-1]["content"]
            return httpx.Response(200, stream=self.feeds[question])

        self.new_process = partial(Process, store, httpx.MockTransport(respond))
        self.processes = [self.new_process() for _ in range(2)]
        for process in self.processes:
            await process.start()

    def teardown(self) -> None:
        async def tear_down() -> None:
            for asked in self.turns:
                asked.feed.parts.put_nowait(None)
            for process in self.processes:
                await process.stop()
            await self.check_history()
            assert await running_turns(self.redis) == set()
            await self.redis.aclose()

        self.run(tear_down())
        self.runner.close()

    @rule(
        target=asked,
        conversation_id=st.sampled_from(CONVERSATIONS),
        process=st.integers(0, 1),
        may_interrupt=st.booleans(),
    )
    def start(self, conversation_id: str, process: int, may_interrupt: bool) -> Any:  # noqa: FBT001 - hypothesis
        return self.run(self.ask(conversation_id, process, may_interrupt=may_interrupt))

    async def ask(self, conversation_id: str, process: int, *, may_interrupt: bool) -> Any:
        message = f"question {len(self.feeds)}"
        feed = self.feeds[message] = Feed()
        question = TurnRequest(
            user_id=USER,
            conversation_id=conversation_id,
            message=message,
            model="test-model",
            if_busy="interrupt" if may_interrupt else "reject_if_read",
        )
        running = [t for t in self.turns if t.conversation_id == conversation_id and not t.is_over]
        try:
            reader = await self.processes[process].service.engine.start(question)
        except ConversationBusy:
            assert running
            return Asked("", conversation_id, process, feed, is_over=True)
        for before in running:
            before.is_over = True
        asked = Asked(reader.stream.id, conversation_id, process, feed)
        self.turns.append(asked)
        return asked

    @rule(asked=asked, word=st.sampled_from(["x", "yy", "ż"]))
    def backend_sends(self, asked: Asked, word: str) -> None:
        async def send() -> None:
            if not asked.is_over:
                asked.words.append(word)
                asked.feed.parts.put_nowait(event(chunk(word)))
                await asyncio.sleep(0.01)

        self.run(send())

    @rule(asked=asked)
    def backend_finishes(self, asked: Asked) -> None:
        async def finish() -> None:
            if asked.is_over:
                return
            asked.is_over = True
            asked.feed.parts.put_nowait(event(chunk(finish_reason="stop")) + DONE)
            await self.ended(asked)

        self.run(finish())

    async def ended(self, asked: Asked) -> None:
        with await self.processes[asked.process].service.directory.follow(asked.turn_id) as reader:
            async with asyncio.timeout(10):
                await reader.stream.ended()

    @rule(target=following, asked=asked, process=st.integers(0, 1), after=st.integers(0, 3))
    def resume(self, asked: Asked, process: int, after: int) -> Any:
        async def follow() -> Any:
            if not asked.turn_id or after > len(asked.words):
                return None
            try:
                reader = await self.processes[process].service.directory.follow(asked.turn_id, after)
            except TurnNotFound:
                assert asked.is_deleted
                return None

            task = asyncio.create_task(rest_of(reader))
            return Following(asked, after, self.processes[process], reader, task)

        return self.run(follow())

    @rule(following=consumes(following))
    def leave(self, following: Following | None) -> None:
        async def leave() -> None:
            if following is None:
                return
            # A reader of a process that has crashed has to come back elsewhere.
            if following.asked.is_over and following.process in self.processes:
                async with asyncio.timeout(10):
                    contents = [json.loads(data) for data in await following.task]
                assert following.reader.stream.end is not None
                texts = [c["choices"][0]["delta"].get("content") for c in contents]
                words = following.asked.words[following.after :]
                sent = [text for text in texts if text is not None]
                assert sent == words[: len(sent)]
                if following.reader.stream.end.code is None:
                    assert sent == words
            following.task.cancel()
            following.reader.close()

        self.run(leave())

    @rule(asked=asked, process=st.integers(0, 1))
    def stop(self, asked: Asked, process: int) -> None:
        async def stop() -> None:
            if not asked.turn_id or asked.is_deleted:
                return
            async with asyncio.timeout(10):
                status = await self.processes[process].service.directory.stop(asked.turn_id)
            assert status == "stopped" or asked.is_over
            asked.is_over = True

        self.run(stop())

    @rule(conversation_id=st.sampled_from(CONVERSATIONS), process=st.integers(0, 1))
    def delete(self, conversation_id: str, process: int) -> None:
        async def delete() -> None:
            await self.processes[process].service.eraser.delete_conversation(USER, conversation_id)
            for asked in self.turns:
                if asked.conversation_id == conversation_id:
                    asked.is_deleted = asked.is_over = True

        self.run(delete())

    @rule(number=st.integers(0, 1))
    def crash(self, number: int) -> None:
        async def crash() -> None:
            owned = [t for t in self.turns if t.process == number]
            await self.processes[number].kill({t.turn_id for t in owned})
            lost = [t for t in owned if not t.is_over]
            for asked in lost:
                asked.is_over = True
                # Time passes: its leases run out.
                await self.redis.hset(keys.running(USER, asked.conversation_id), "lease_until", "1")
                await self.redis.zadd(keys.running_turns(keys.shard_of(asked.turn_id)), {asked.turn_id: 1})
            await self.processes[number].stop()  # nothing is left that it could store
            self.processes[number] = self.new_process()
            await self.processes[number].start()
            async with asyncio.timeout(10):
                while await running_turns(self.redis) & {asked.turn_id for asked in lost}:
                    await asyncio.sleep(0.05)

        self.run(crash())

    @invariant()
    def promises_hold(self) -> None:
        self.run(self.check_history())

    async def check_history(self) -> None:
        for conversation_id in CONVERSATIONS:
            elements = await self.redis.lrange(keys.messages(USER, conversation_id), 0, -1)
            messages = [json.loads(element) for element in elements]
            turn_ids = [message["turn_id"] for message in messages]
            assert turn_ids[::2] == turn_ids[1::2]
            known = [t for t in self.turns if t.conversation_id == conversation_id and not t.is_deleted]
            in_order = [t.turn_id for t in known if t.turn_id in turn_ids]
            assert turn_ids[::2] == in_order
            by_id = {t.turn_id: t for t in known}
            for reply in messages[1::2]:
                text = "".join(by_id[reply["turn_id"]].words)
                assert text.startswith(reply["content"])
                assert reply["status"] != "complete" or text == reply["content"]


TestTurns = Turns.TestCase
TestTurns.settings = settings(
    max_examples=15,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
