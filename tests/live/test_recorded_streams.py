"""Streams of backends, torn at any byte: every chunk comes through `/chat` and `/v1`, and is stored.

The streams in `streams` are written by hand. `RECORDED_STREAMS` names a folder with further ones, `*.sse`.
"""

import asyncio
import json
import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from openai.types.chat import ChatCompletion
from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, Script
from tests.support.store import stored_messages

OWN = Path(__file__).with_name("streams")
RECORDED = os.environ.get("RECORDED_STREAMS", "")
BYTEWISE_BYTES = 8 * 1024
"""Up to this size a stream comes byte by byte; a larger one in random pieces, to save time."""

DONE = "[DONE]"
ENDS = {
    "error_event_in_mid_stream": "upstream_error",
    "error_object_in_mid_stream": "upstream_error",
    "finish_missing": "upstream_truncated",
    "finish_unknown": "upstream_truncated",
    "finish_with_network_error": "upstream_error",
    "finish_without_system_resource": "upstream_error",
    "last_event_cut_off": "upstream_truncated",
}
"""Of the streams written by hand, those whose answer is not whole."""
TEXTS = {
    "error_event_in_mid_stream": "Hel",
    "error_object_in_mid_stream": "Hel",
    "finish_in_every_chunk": "part 0 part 1 part 2 part 3 part 4 part 5 part 6 part 7 ",
    "finish_unknown": "Hel",
    "finish_with_network_error": "Hel",
    "half_a_character": "ok \ufffd fine",
    "last_event_cut_off": "Hel",
    "line_separators_in_text": "a\u2028b\u0085c",
    "refusal": "I can't help.",
    "surrogates_in_two_chunks": "\U0001f422",
    "tool_call": "",
    "usage_in_every_chunk": "12",
    **dict.fromkeys(
        [
            "error_after_the_finish",
            "finish_missing",
            "finish_of_a_gateway_in_capitals",
            "finish_reason_null_as_text",
            "finish_without_system_resource",
            "last_event_without_blank_line",
            "last_event_without_line_feed",
        ],
        "Hello",
    ),
}
"""Of the streams written by hand, what is stored; "Hi" if it is not here."""


BEYOND_OPENAI = {"finish_of_a_gateway_in_capitals", "infinite_logprobs", "usage_damaged"}
"""Of the streams written by hand, those with values that OpenAI's types do not have."""


class Answer(NamedTuple):
    """What came of one stream."""

    relayed: list[str]
    """The data of the events before the terminal one."""
    end: str
    text: str
    """As it is stored, like the status."""
    status: str


@pytest.fixture(params=["in one piece", "torn"])
def longest_piece(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """The size of the longest piece, by the size of a stream."""

    def longest(size: int) -> int:
        if request.param == "in one piece":
            return size
        return 1 if size <= BYTEWISE_BYTES else 64

    return longest


async def answers_to(
    streams: dict[str, bytes],
    longest_piece: Callable[[int], int],
    *,
    serve: Serve,
    backend: Backend,
    redis: Redis,
    user: str,
) -> dict[str, Answer]:
    """Send every stream once, a few at a time, each as the answer to a question with its name."""
    backend.script = sends(streams, longest_piece)
    few = asyncio.Semaphore(4)

    async def answer_to(name: str) -> Answer:
        async with few:
            relayed, end = await ask(client, f"{user}-{name}", name)
        page = await client.get(f"/users/{user}-{name}/conversations/default")
        assert page.status_code == 200, name
        _, stored = await stored_messages(redis, f"{user}-{name}")
        assert page.json()["messages"][1]["content"] == stored["content"]
        return Answer(relayed, end, stored["content"], stored["status"])

    async with serve(max_active_turns_per_user=len(streams), rate_limit_turns_per_minute=0) as client:
        return dict(zip(streams, await asyncio.gather(*map(answer_to, streams)), strict=True))


def sends(streams: dict[str, bytes], longest_piece: Callable[[int], int]) -> Script:
    """Make a script that sends the stream which the question names."""

    async def script(exchange: Exchange) -> None:
        stream = streams[exchange.body["messages"][-1]["content"]]
        await exchange.head()
        for piece in pieces(stream, longest_piece(len(stream))):
            await exchange.send(piece)
            await asyncio.sleep(0)  # the service reads meanwhile

    return script


def pieces(stream: bytes, longest: int) -> Iterator[bytes]:
    sizes = random.Random(len(stream))  # noqa: S311 - no secret
    start = 0
    while start < len(stream):
        end = start + sizes.randint(1 if longest < len(stream) else longest, longest)
        yield stream[start:end]
        start = end


async def ask(client: httpx.AsyncClient, user: str, message: str) -> tuple[list[str], str]:
    """Return the events' data, and how the stream ended."""
    body = {"user_id": user, "message": message, "stream_options": {"include_usage": True}}
    response = await client.post("/chat", json=body)
    assert response.status_code == 200, response.text
    events = response.content.decode().removesuffix("\n\n").split("\n\n")
    *relayed, end = [event.partition("data: ")[2] for event in events if not event.startswith(":")]
    assert "-end\n" in events[-1]
    return relayed, end if end == DONE else json.loads(end)["error"]["code"]


async def complete(client: httpx.AsyncClient, name: str) -> tuple[list[str], str]:
    """Return the data of the events of a streamed completion, and how it ended."""
    response = await client.post("/v1/chat/completions", json=completion(name, stream=True))
    assert response.status_code == 200, response.text
    events = response.content.decode().removesuffix("\n\n").split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    *relayed, end = [event.removeprefix("data: ") for event in events]
    return relayed, end if end == DONE else json.loads(end)["error"]["code"]


async def complete_whole(client: httpx.AsyncClient, name: str) -> tuple[str, str]:
    """Return the text of a completion that is not streamed, and how it ended."""
    response = await client.post("/v1/chat/completions", json=completion(name, stream=False))
    answer = json.loads(response.content, parse_constant=pytest.fail)
    if response.is_error:
        return "", answer["error"]["code"]
    if name not in BEYOND_OPENAI:
        ChatCompletion.model_validate(answer)
    return answer["choices"][0]["message"]["content"] or "", DONE


def completion(name: str, *, stream: bool) -> dict[str, Any]:
    return {
        "model": "test-model",
        "messages": [{"role": "user", "content": name}],
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
    }


def streams_in(folder: Path) -> dict[str, bytes]:
    streams = {path.stem: path.read_bytes() for path in sorted(folder.glob("*.sse"))}
    assert streams, f"there is no *.sse in {folder}"
    return streams


async def test_peculiar_streams_come_through_in_valid_json_and_are_stored(
    serve: Serve, backend: Backend, redis: Redis, user: str, longest_piece: Callable[[int], int]
) -> None:
    streams = streams_in(OWN)
    answers = await answers_to(streams, longest_piece, serve=serve, backend=backend, redis=redis, user=user)
    for answer in answers.values():
        for data in answer.relayed:
            json.loads(data, parse_constant=pytest.fail)
    assert {name: answer[1:] for name, answer in answers.items()} == {
        name: (ENDS.get(name, DONE), TEXTS.get(name, "Hi"), "error" if name in ENDS else "complete")
        for name in streams
    }


async def test_peculiar_streams_come_through_v1_streamed_and_whole(
    serve: Serve, backend: Backend, longest_piece: Callable[[int], int]
) -> None:
    streams = streams_in(OWN)
    backend.script = sends(streams, longest_piece)
    async with serve() as client:
        for name in streams:
            relayed, end = await complete(client, name)
            for data in relayed:
                json.loads(data, parse_constant=pytest.fail)
            assert end == ENDS.get(name, DONE), name
            if longest_piece(2) == 2:  # a completion that is put together does not show how its stream came
                text = "" if name in ENDS else said(TEXTS.get(name, "Hi"), name)
                assert await complete_whole(client, name) == (text, end), name


needs_recordings = pytest.mark.skipif(
    not RECORDED, reason="RECORDED_STREAMS names no folder with recorded streams"
)


@needs_recordings
@pytest.mark.timeout(600)
async def test_recorded_streams_come_through_v1_byte_for_byte(
    serve: Serve, backend: Backend, longest_piece: Callable[[int], int]
) -> None:
    streams = streams_in(Path(RECORDED))
    backend.script = sends(streams, longest_piece)
    async with serve() as client:
        for name, stream in streams.items():
            relayed, end = expected_of(stream)
            assert await complete(client, name) == (relayed, end), name
            text = said(text_of(relayed), name) if end == DONE else ""
            assert await complete_whole(client, name) == (text, end), name


@needs_recordings
@pytest.mark.timeout(600)
async def test_recorded_streams_come_through_byte_for_byte(
    serve: Serve, backend: Backend, redis: Redis, user: str, longest_piece: Callable[[int], int]
) -> None:
    streams = streams_in(Path(RECORDED))
    answers = await answers_to(streams, longest_piece, serve=serve, backend=backend, redis=redis, user=user)
    for name, stream in streams.items():
        relayed, end = expected_of(stream)
        expected = Answer(relayed, end, text_of(relayed), "complete" if end == DONE else "error")
        assert answers[name] == expected, name


def expected_of(stream: bytes) -> tuple[list[str], str]:
    """Read a recorded stream in a plain way: the chunks' data up to the end, and the end."""
    chunks: list[str] = []
    is_finished = False
    for event in re.split(r"\n\n", stream.decode()):
        data = "".join(re.findall(r"^data: ?(.*)$", event, re.MULTILINE))
        if not data or data == DONE:
            continue
        body = json.loads(data)
        if body.get("error"):
            return chunks, DONE if is_finished else "upstream_error"
        chunks.append(data)
        choice = (body.get("choices") or [{}])[0]
        is_finished = is_finished or choice.get("finish_reason") is not None
    return chunks, DONE if is_finished else "upstream_truncated"


def said(text: str, name: str) -> str:
    """Return the text as a completion has it: a refusal is no content."""
    return "" if name == "refusal" else text


def text_of(chunks: list[str]) -> str:
    """Join the text of these chunks; Mistral sends it in parts, the older completions outside of a delta."""
    texts: list[str] = []
    for data in chunks:
        for choice in json.loads(data)["choices"]:
            content = choice.get("delta", {"content": choice.get("text")}).get("content") or ""
            parts = content if isinstance(content, list) else [{"text": content}]
            texts.extend(part.get("text", "") for part in parts)
    return "".join(texts)
