"""When an answer is whole, what ends it and what bounds it, stream by stream."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import pairwise
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ServiceError, UpstreamError, UpstreamTruncated
from app.llm.chunk import Chunk
from app.llm.completion_stream import read_completion_stream
from app.llm.deadlines import AFTER_FINISH_SECONDS, Deadlines, TimeLimits
from app.llm.refusals import Refused
from app.llm.wordings import Meaning
from tests.support.chunks import DONE, answer, chunk, event, usage_chunk

LIMITS = TimeLimits(connect=1, first_token=5, token_gap=5, total=10)
STOP = event(chunk(finish_reason="stop"))


class Body(httpx.AsyncByteStream):
    """A response's body in these reads, which then ends cleanly or breaks off."""

    def __init__(self, reads: Sequence[bytes], *, is_torn: bool = False) -> None:
        self._reads = reads
        self._is_torn = is_torn

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for read in self._reads:
            yield read
        if self._is_torn:
            raise httpx.ReadError("reset")


async def received_from(
    *reads: bytes,
    is_torn: bool = False,
    max_tokens: int = 64,
    choices: int = 1,
    headers: dict[str, str] | None = None,
) -> tuple[list[Chunk], ServiceError | None]:
    """Read a stream to its end; return its chunks and the failure."""
    chunks: list[Chunk] = []
    response = httpx.Response(200, headers=headers, stream=Body(reads, is_torn=is_torn))
    deadlines = Deadlines(LIMITS, asyncio.get_running_loop().time())
    try:
        with deadlines.enforced():
            await read_completion_stream(
                response, deadlines, chunks.extend, max_tokens=max_tokens, choices=choices
            )
    except ServiceError as failure:
        return chunks, failure
    return chunks, None


async def outcome_of(*reads: bytes, **how: Any) -> tuple[str, str | None]:
    """Return the text and the failure's code."""
    chunks, failure = await received_from(*reads, **how)
    return "".join(each.content for each in chunks), code_of(failure)


def code_of(failure: ServiceError | type[ServiceError] | None) -> str | None:
    return failure.code if failure else None


def with_delta(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    return event(chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish_reason}]))


@pytest.mark.parametrize(
    ("reads", "text", "failure"),
    [
        # 4.1 A finish reason in every chunk
        ([event(chunk(f"{n} ", finish_reason="stop")) for n in range(8)], "0 1 2 3 4 5 6 7 ", None),
        ([*(event(chunk(f"{n} ", finish_reason="stop")) for n in range(8)), DONE], "0 1 2 3 4 5 6 7 ", None),
        ([event(chunk("a", finish_reason="length")), event(chunk("b", finish_reason="stop"))], "ab", None),
        ([event(chunk("a", finish_reason="stop")), event(chunk("b")), STOP], "ab", None),
        ([event(chunk("", finish_reason="stop")), event(chunk("a")), STOP, DONE], "a", None),
        ([event(chunk("a", finish_reason="stop")), event(chunk("b")), DONE], "ab", UpstreamTruncated),
        ([event(chunk("a", finish_reason="stop")), event(chunk("b"))], "ab", UpstreamTruncated),
        ([STOP, with_delta({"reasoning_content": "hm"}), DONE], "", UpstreamTruncated),
        ([STOP, with_delta({"tool_calls": [{"index": 0}]}), DONE], "", UpstreamTruncated),
        ([event(chunk("a")), STOP, event(chunk("")), event(usage_chunk()), DONE], "a", None),
        ([event(chunk("a")), STOP, STOP, event(usage_chunk()), DONE], "a", None),
        ([event(chunk("a")), STOP, with_delta({"annotations": [{"url": "x"}]}), DONE], "a", None),
        # Placeholders
        ([*(event(chunk(f"{n}", finish_reason="")) for n in range(3)), STOP], "012", None),
        ([*(event(chunk(f"{n}", finish_reason="null")) for n in range(3)), STOP], "012", None),
        ([event(chunk("a", finish_reason="null")), DONE], "a", UpstreamTruncated),
        # 4.2 Finishes that are failures, or that no provider documents
        ([event(chunk("a")), event(chunk(finish_reason="network_error")), DONE], "a", UpstreamError),
        ([event(chunk("a", finish_reason="insufficient_system_resource"))], "a", UpstreamError),
        ([event(chunk("a", finish_reason="abort")), DONE], "a", UpstreamError),
        (
            [event(chunk("a")), event(chunk(finish_reason="function_call_filter: MALFORMED_FUNCTION_CALL"))],
            "a",
            UpstreamError,
        ),
        ([event(chunk("a")), event(chunk(finish_reason="weird")), DONE], "a", UpstreamTruncated),
        ([event(chunk("a", finish_reason="weird")), event(chunk("b")), STOP], "ab", None),
        ([event(chunk("a")), event(chunk(finish_reason="weird")), STOP], "a", None),
        ([event(chunk("a")), STOP, event(chunk(finish_reason="weird")), DONE], "a", None),
        ([event(chunk("a")), event(chunk(finish_reason="STOP"))], "a", None),
        ([event(chunk("a")), event(chunk(finish_reason="content_filter: SAFETY"))], "a", None),
        # 4.3 The last event lacks its blank line
        ([event(chunk("a")), STOP[:-1]], "a", None),
        ([event(chunk("a")), STOP[:-2]], "a", None),
        ([event(chunk("a", finish_reason="stop"))[:-2]], "a", None),
        ([event(chunk("a")), STOP[:-2] + b"\r"], "a", None),
        ([event(chunk("a")), STOP, event(usage_chunk())[:-2]], "a", None),
        ([event(chunk("a")), STOP, DONE[:-2]], "a", None),
        ([event(chunk("a")), STOP[:-5]], "a", UpstreamTruncated),
        ([event(chunk("a")), event(chunk("b"))[:-2]], "ab", UpstreamTruncated),
        ([event(chunk("a")), event(chunk("b"))[:-9]], "a", UpstreamTruncated),
        ([event(chunk("a")), event({"error": {"message": "no"}})[:-2]], "a", UpstreamError),
        # 4.4 Half a character
        (
            [
                b'data: {"choices":[{"delta":{"content":"ok \xf0\x9f"}}]}\n\n',
                event(chunk(" fine", finish_reason="stop")),
            ],
            "ok \ufffd fine",
            None,
        ),
        # What comes after a whole answer
        ([*answer("a"), event(chunk("late"))], "a", None),
        ([event(chunk("a")), STOP, event({"error": {"message": "no"}})], "a", None),
        ([event(chunk("a")), STOP, b"data: {\n\n"], "a", None),
        # A finish reason that has been disproved protects from nothing
        (
            [
                event(chunk("a", finish_reason="stop")),
                event(chunk("b", finish_reason="stop")),
                b"data: {\n\n",
            ],
            "ab",
            UpstreamError,
        ),
    ],
)
async def test_an_answer_is_whole_when_its_stream_says_so_at_the_end(
    reads: list[bytes], text: str, failure: type[ServiceError] | None
) -> None:
    assert await outcome_of(*reads) == (text, code_of(failure))
    stream = b"".join(reads)
    assert await outcome_of(stream) == (text, code_of(failure))
    assert await outcome_of(*(stream[n : n + 1] for n in range(len(stream)))) == (text, code_of(failure))


@pytest.mark.parametrize(
    ("reads", "failure"),
    [
        ([event(chunk("a"))], UpstreamTruncated),
        ([event(chunk("a")), STOP], None),
        ([event(chunk("a")), STOP[:-2]], UpstreamTruncated),
        (
            [event(chunk("a", finish_reason="stop")), event(chunk("b", finish_reason="stop"))],
            UpstreamTruncated,
        ),
    ],
)
async def test_a_torn_connection_completes_nothing(
    reads: list[bytes], failure: type[ServiceError] | None
) -> None:
    assert (await outcome_of(*reads, is_torn=True))[1] == code_of(failure)


async def test_an_unknown_finish_reason_is_logged_once_and_told() -> None:
    with structlog.testing.capture_logs() as logs:
        _, failure = await received_from(*[event(chunk("a", finish_reason="weird"))] * 3, DONE)
    assert [(each["log_level"], each["finish_reason"]) for each in logs] == [("warning", "weird")]
    assert failure is not None
    assert "weird" in failure.message


async def test_an_unknown_finish_reason_that_is_no_plain_word_is_neither_logged_nor_told() -> None:
    with structlog.testing.capture_logs() as logs:
        _, failure = await received_from(event(chunk("a", finish_reason="my secret\nplan")), DONE)
    assert failure is not None
    assert "secret" not in failure.message + str(logs)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (event({"error": {"message": "The server had an error"}}), "The server had an error"),
        (event({"error": "out of memory"}), "out of memory"),
        (b'event: error\ndata: {"message": "worker died"}\n\n', "worker died"),
        (
            event(chunk("", finish_reason="error", error={"code": 502, "message": "provider gone"})),
            "provider gone",
        ),
        (b"event: error\ndata: boom\n\n", "boom"),
    ],
)
async def test_a_failure_in_the_stream_is_read_as_a_refusal(failure: bytes, sentence: str) -> None:
    chunks, error = await received_from(event(chunk("a")), failure, event(chunk("late")))
    assert [each.content for each in chunks] == ["a"]
    assert isinstance(error, Refused)
    assert error.has_begun
    assert error.refusal.sentence == sentence


async def test_an_overflow_that_is_reported_before_the_first_content_is_one_of_the_prompt() -> None:
    overflow = event(
        {"error": {"message": "it is greater than the context length (n_keep: 5000>= n_ctx: 4096)."}}
    )
    _, error = await received_from(event(chunk("")), b"event: error\n" + overflow)
    assert isinstance(error, Refused)
    assert (error.has_begun, error.refusal.meaning) == (False, Meaning.CONTEXT)


async def test_a_failure_after_content_that_came_with_a_finish_reason_is_not_asked_again() -> None:
    parts = [event(chunk(text, finish_reason="stop")) for text in ("a", "b")]
    _, error = await received_from(*parts, event({"error": {"message": "exceeds the context length"}}))
    assert isinstance(error, Refused)
    assert error.has_begun


async def test_a_compressed_answer_is_refused_unread() -> None:
    reads = [b"bomb"]
    outcome = await outcome_of(*reads, headers={"Content-Encoding": "gzip"})
    assert outcome == ("", UpstreamError.code)
    assert await outcome_of(*answer("a"), headers={"Content-Encoding": "identity"}) == ("a", None)


def flood(part: bytes, *, begun: bytes = event(chunk("a"))) -> Callable[[], AsyncIterator[bytes]]:
    async def reads() -> AsyncIterator[bytes]:
        yield begun
        read = part * math.ceil(16 * 1024 / len(part))
        while True:
            yield read

    return reads


@pytest.mark.parametrize(
    "part",
    [
        b"data: {}\n\n",
        event(chunk("")),
        event(chunk("x")),
        event(chunk("x" * 100_000)),
        event(chunk("x", finish_reason="stop")),
        event(usage_chunk()),
        b": ping\n\n",
        b"event: ping\ndata: {}\n\n",
        b"data:\n\n",
        b"\n",
        b"data:\n",
        b"x" * 16 * 1024,
    ],
    ids=lambda part: part[:40].decode(),
)
@pytest.mark.parametrize("max_tokens", [1, 512])
async def test_a_flood_is_ended_in_proportion_to_the_tokens_and_gives_way_to_other_tasks(
    part: bytes, max_tokens: int
) -> None:
    turns_of_the_loop, is_over = 0, False

    async def others() -> None:
        nonlocal turns_of_the_loop
        while not is_over:
            turns_of_the_loop += 1
            await asyncio.sleep(0)

    class Flood(httpx.AsyncByteStream):
        def __aiter__(self) -> AsyncIterator[bytes]:
            return flood(part)()

    chunks: list[Chunk] = []
    task = asyncio.create_task(others())
    deadlines = Deadlines(LIMITS, asyncio.get_running_loop().time())
    response = httpx.Response(200, stream=Flood())
    with pytest.raises(UpstreamError):
        await read_completion_stream(response, deadlines, chunks.extend, max_tokens=max_tokens)
    is_over = True
    await task
    assert chunks[0].content == "a"
    assert turns_of_the_loop >= 4
    assert len(chunks) < 13_000 + 4 * max_tokens
    assert sum(len(each.data) for each in chunks) < 2**21 + 2**11 * max_tokens + 2 * 100_000


def of_choice(index: int, text: str, finish_reason: str | None = None) -> bytes:
    choice = {"index": index, "delta": {"content": text}, "finish_reason": finish_reason}
    return event(chunk(choices=[choice]))


async def test_an_answer_of_two_choices_is_not_over_when_the_first_has_finished() -> None:
    loop = asyncio.get_running_loop()
    deadlines = Deadlines(LIMITS, loop.time())
    patience: list[float] = []

    class Choices(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield of_choice(0, "a", "stop")
            patience.append(deadlines.next - loop.time())
            yield of_choice(1, "b", "stop")
            patience.append(deadlines.next - loop.time())

    chunks: list[Chunk] = []
    response = httpx.Response(200, stream=Choices())
    await read_completion_stream(response, deadlines, chunks.extend, max_tokens=64, choices=2)
    assert [each.content for each in chunks] == ["a", "b"]
    assert patience[0] > AFTER_FINISH_SECONDS >= patience[1]


@pytest.mark.parametrize("end", [of_choice(1, ""), event({"error": {"message": "worker died"}})])
async def test_an_answer_of_two_choices_is_not_whole_with_one_of_them(end: bytes) -> None:
    reads = of_choice(0, "a", "stop"), end
    _, failure = await received_from(*reads, is_torn=True, choices=2)
    assert failure is not None
    _, failure = await received_from(of_choice(0, "a", "stop"), is_torn=True, choices=2)
    assert code_of(failure) == "upstream_truncated"
    _, failure = await received_from(*reads, of_choice(1, "b", "stop"), choices=1)
    assert code_of(failure) is None


async def test_an_answer_of_all_its_tokens_is_within_the_bounds() -> None:
    tokens = 4096
    long_chunk = event(chunk("token ", logprobs=None, extra="x" * 1000))
    chunks, failure = await received_from(
        *[long_chunk, event(chunk(""))] * tokens, STOP, DONE, max_tokens=tokens
    )
    assert failure is None
    assert len(chunks) == 2 * tokens + 1


EVENTS = st.sampled_from(
    [
        event(chunk("")),
        event(chunk("a")),
        event(chunk("\u2028é🐢")),
        event(chunk("b", finish_reason="stop")),
        STOP,
        STOP.replace(b"\n", b"\r\n"),
        event(chunk("c")).replace(b"\n", b"\r"),
        event(chunk(finish_reason="weird")),
        event(chunk(finish_reason="abort")),
        event(usage_chunk()),
        event({"error": {"message": "boom"}}),
        b"event: error\ndata: {}\n\n",
        b"event: ping\ndata: x\n\n",
        b": comment\n\n",
        b"data: {\n\n",
        b'data: {"choices":[{"delta":{"content":"\xf0\x9f"}}]}\n\n',
        b'data: {"choices":[{"delta":{"content":"n","x":NaN}}]}\n\n',
        b'data: {"choices":\ndata: []}\n\n',
        b"data: {}\n",
        DONE,
        DONE[:-1],
    ]
)


@given(st.lists(EVENTS, max_size=8), st.sets(st.integers(0, 1500), max_size=20), st.booleans())
def test_however_a_stream_is_cut_its_chunks_and_its_end_are_the_same(
    events: list[bytes],
    cuts: set[int],
    is_torn: bool,  # noqa: FBT001 - drawn
) -> None:
    stream = b"".join(events)
    places = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    parts = [stream[start:end] for start, end in pairwise(places)]

    async def both() -> None:
        whole, failure = await received_from(stream, is_torn=is_torn)
        cut, failure_when_cut = await received_from(*parts, is_torn=is_torn)
        assert cut == whole
        assert repr(failure_when_cut) == repr(failure)
        for each in whole:
            json.loads(each.data.decode(), parse_constant=pytest.fail)

    asyncio.run(both())
