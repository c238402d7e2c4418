"""`python -m benchmarks.backend PORT`: a fast fake backend, in a process of its own."""

import asyncio
import gc
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import cast

import uvloop

from benchmarks import answers
from benchmarks.question import Question

_TICK_SECONDS = 0.001
_TICKS_A_SECOND = 1000
_BACKLOG = 8192
_BLANK_LINE = b"\r\n\r\n"


class Answer:
    """An answer that is being sent, one token at a time."""

    __slots__ = ("_connection", "_question", "_sent")

    def __init__(self, connection: "Connection", question: Question) -> None:
        self._connection = connection
        self._question = question
        self._sent = 0

    @property
    def interval_ticks(self) -> int:
        """The number of ticks between two tokens; 0: no pause."""
        return _TICKS_A_SECOND // self._question.rate if self._question.rate else 0

    @property
    def has_ended(self) -> bool:
        """Whether everything has been sent, or the client has gone."""
        return self._connection.is_closed or self._sent == self._question.tokens

    def when_taken(self, resume: Callable[[], None]) -> bool:
        """Whether the reader is behind the writer; if so, `resume` is called when it has caught up."""
        return self._connection.when_taken(resume)

    def begin(self) -> None:
        """Send the head, the role and the first token."""
        self._connection.write(answers.HEAD + answers.ROLE)
        self.advance()

    def advance(self) -> None:
        """Send one token, and after the last one the end."""
        if self._question.stamped:
            self._connection.write(answers.stamped_token(time.monotonic_ns()))
        else:
            self._connection.write(answers.token(self._sent))
        self._sent += 1
        if self._sent == self._question.tokens:
            self._connection.write(answers.ending(self._sent))


class Pace:
    """One timer for all paced answers: a wheel of ticks, where each answer waits at its next token's tick.

    Answers keep the tick at which they began, so they are spread as real ones are.
    """

    def __init__(self) -> None:
        self._wheel: list[list[Answer]] = [[] for _ in range(_TICKS_A_SECOND + 1)]
        self._tick = 0
        self._started = time.monotonic()

    def add(self, answer: Answer) -> None:
        """Send the next token of an answer when it is due."""
        self._wheel[(self._tick + answer.interval_ticks) % len(self._wheel)].append(answer)

    async def run(self) -> None:
        """Turn the wheel, and make up for ticks that are late."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            due = int((time.monotonic() - self._started) / _TICK_SECONDS)
            while self._tick < due:
                self._tick += 1
                self._advance_all()

    def _advance_all(self) -> None:
        place = self._tick % len(self._wheel)
        answers_due, self._wheel[place] = self._wheel[place], []
        for answer in answers_due:
            answer.advance()
            if not answer.has_ended:
                self.add(answer)


class Burst:
    """The answers without a pace: each in turn sends one token in a write of its own."""

    def __init__(self) -> None:
        self._answers: deque[Answer] = deque()
        self._is_running = False

    def add(self, answer: Answer) -> None:
        """Send the rest of an answer."""
        self._answers.append(answer)
        if not self._is_running:
            self._is_running = True
            asyncio.get_running_loop().call_soon(self._advance_all)

    def _advance_all(self) -> None:
        # Readers may share this core. Without this pause they would find many tokens in one read.
        os.sched_yield()
        for _ in range(len(self._answers)):
            answer = self._answers.popleft()
            if answer.has_ended or answer.when_taken(partial(self.add, answer)):
                continue
            answer.advance()
            self._answers.append(answer)
        self._is_running = bool(self._answers)
        if self._is_running:
            asyncio.get_running_loop().call_soon(self._advance_all)


class Connection(asyncio.Protocol):
    """A connection that serves one request after the other."""

    def __init__(self, pace: Pace, burst: Burst) -> None:
        self._pace = pace
        self._burst = burst
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._is_paused = False
        self._resume: Callable[[], None] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the client has gone."""
        return self._transport is None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = None

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._resume is not None:
            resume, self._resume = self._resume, None
            resume()

    def when_taken(self, resume: Callable[[], None]) -> bool:
        """Whether written bytes are still waiting; if so, `resume` is called when they are sent."""
        if self._is_paused:
            self._resume = resume
        return self._is_paused

    def write(self, data: bytes) -> None:
        """Send, unless the client has gone."""
        if self._transport is not None:
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, blank_line, rest = self._received.partition(_BLANK_LINE)
        if not blank_line:
            return
        length = _content_length(head)
        if len(rest) < length:
            return
        self._received = rest[length:]
        if head.startswith(b"GET "):
            self.write(answers.models())
        else:
            self._answer(Question.parse(rest[:length]))

    def _answer(self, question: Question) -> None:
        answer = Answer(self, question)
        answer.begin()
        if not answer.has_ended:
            (self._pace if question.rate else self._burst).add(answer)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def main(port: int) -> None:
    """Serve until killed."""
    pace, burst = Pace(), Burst()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(pace, burst), "127.0.0.1", port, backlog=_BACKLOG)
    gc.freeze()
    async with server:
        await pace.run()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
