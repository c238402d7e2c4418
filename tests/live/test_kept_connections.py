"""Answers over connections that the backend keeps open: no answer loses a word, or gets one of another."""

import asyncio
import json
import random
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.live.conftest import Serve
from tests.support.chunks import DONE, chunk, event

QUESTIONS = [f"question {n}" for n in range(120)]
AT_ONCE = 40
LARGE = "x" * 5000


def words_to(question: str) -> list[str]:
    """Return the answer to a question: of one token or of many, small and large ones."""
    how = random.Random(question)  # noqa: S311 - no secret
    return [f"{question}, {n}; {how.choice(['', '', LARGE])}" for n in range(how.choice([1, 5, 200]))]


async def answer(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer one request: as a whole, by the token, or torn. The connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if head.startswith(b"get"):
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
    question = json.loads(await reader.readexactly(length))["messages"][-1]["content"]
    events = [event(chunk(word)) for word in words_to(question)] + [event(chunk(finish_reason="stop")), DONE]
    whole = b"".join(events)
    torn = [whole[start : start + 1777] for start in range(0, len(whole), 1777)]
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n")
    for part in random.Random(question).choice([[whole], events, torn]):  # noqa: S311 - no secret
        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        await writer.drain()
    writer.write(b"0\r\n\r\n")


@pytest.fixture
async def keeping_backend() -> AsyncIterator[str]:
    """A backend that serves any number of requests on a connection."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            while True:
                await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()  # the service has left

    server = await asyncio.start_server(
        lambda reader, writer: serving.add(asyncio.create_task(serve(reader, writer))), "127.0.0.1", 0
    )
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()
    for task in serving:
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


async def ask(client: httpx.AsyncClient, question: str, *, leaves: bool) -> str:
    """Ask a question, and leave within its answer or read it to its end."""
    messages = [{"role": "user", "content": question}]
    body = {"model": "test-model", "messages": messages, "stream": True}
    text = ""
    async with client.stream("POST", "/v1/chat/completions", json=body) as response:
        async for line in response.aiter_lines():
            if line == "data: [DONE]" or (leaves and text):
                return text
            if line:
                [choice] = json.loads(line.removeprefix("data: "))["choices"]
                text += choice["delta"].get("content", "")
    raise AssertionError(f"no end after {text[-100:]}")


async def test_every_answer_is_its_own_though_others_leave(serve: Serve, keeping_backend: str) -> None:
    some = asyncio.Semaphore(AT_ONCE)

    async def check(number: int, question: str, client: httpx.AsyncClient) -> None:
        leaves = number % 4 == 0
        async with some:
            text = await ask(client, question, leaves=leaves)
        whole = "".join(words_to(question))
        assert whole.startswith(text) if leaves else text == whole

    async with serve(llm_base_url=keeping_backend) as client, asyncio.TaskGroup() as group:
        for number, question in enumerate(QUESTIONS):
            group.create_task(check(number, question, client))
