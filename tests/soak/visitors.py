"""Clients that ask, leave, come back to another process, and note the answers."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from contextlib import suppress

import httpx

from tests.soak.ledger import Ledger, Question
from tests.support.sse import events

_ABORTED = 0.2
_COMES_BACK = 0.5
_STREAM_SECONDS = 60.0
_TURNS_A_CONVERSATION = 20
"""So that prompts, and what they take, do not grow with the time."""


class Visitor:
    """One user, who asks one question after the other."""

    def __init__(
        self, user: str, replicas: Sequence[httpx.AsyncClient], ledger: Ledger, chance: random.Random
    ) -> None:
        self._user = user
        self._replicas = replicas
        self._ledger = ledger
        self._chance = chance

    async def ask_until(self, is_over: asyncio.Event) -> None:
        """Ask until it is over."""
        for n in itertools.count():
            if is_over.is_set():
                return
            question = self._ledger.ask(self._user, f"c{n // _TURNS_A_CONVERSATION}")
            try:
                async with asyncio.timeout(_STREAM_SECONDS):
                    await self._visit(question)
            except TimeoutError:
                self._ledger.violations.append(f"no end within {_STREAM_SECONDS:g} s: {question.text}")
            self._ledger.ends[question.told] += 1
            await asyncio.sleep(self._chance.random())

    async def _visit(self, question: Question) -> None:
        leaves_after = self._chance.randrange(12) if self._chance.random() < _ABORTED else None
        body = {
            "user_id": question.user,
            "conversation_id": question.conversation,
            "message": question.text,
            "if_busy": "interrupt",
        }
        async with self._replica().stream("POST", "/chat", json=body) as response:
            if response.status_code != 200:
                await self._refused(question, response)
                return
            turn_id = response.headers["x-turn-id"]
            position = await self._listen(question, response, leaves_after)
        if leaves_after is not None and self._chance.random() < _COMES_BACK:
            await self._come_back(question, turn_id, position)

    async def _come_back(self, question: Question, turn_id: str, position: int) -> None:
        headers = {"Last-Event-ID": f"{turn_id}-{position}"} if position else {}
        async with self._replica().stream("GET", f"/chat/{turn_id}", headers=headers) as response:
            if response.status_code == 200:
                await self._listen(question, response, None, position)
            elif response.status_code not in {404, 503}:
                self._ledger.violations.append(f"{response.status_code} for a turn that was: {question.text}")

    async def _listen(
        self, question: Question, response: httpx.Response, leaves_after: int | None, position: int = 0
    ) -> int:
        """Hear events to the end, or leave; the number of the last one."""
        if leaves_after == position:
            return position
        with suppress(httpx.RemoteProtocolError):
            async for event in events(response):
                if event.id.endswith("-end"):
                    self._hear_the_end(question, event.data)
                    return position
                position += 1
                question.begun = True
                question.heard += event.content
                if not event.id.endswith(f"-{position}"):
                    self._ledger.violations.append(f"{event.id} in place {position}: {question.text}")
                if position == leaves_after:
                    return position
        self._ledger.violations.append(f"a stream without an end: {question.text}")
        return position

    async def _refused(self, question: Question, response: httpx.Response) -> None:
        await response.aread()
        question.told = "refused"
        self._ledger.ends[f"{response.status_code} {response.json()['error']['code']}"] += 1

    def _hear_the_end(self, question: Question, data: str) -> None:
        question.told = "stored" if data == "[DONE]" else "broken off"

    def _replica(self) -> httpx.AsyncClient:
        return self._chance.choice(self._replicas)
