"""A backend that fails once its answer has begun, or that writes it in an odd way."""

import asyncio
import json
from functools import partial
from typing import Any

import pytest

from tests.faults.conftest import Prove
from tests.faults.fault import AFTER_FINISH, MID_ANSWER, Act, Fault
from tests.faults.lab import Lab
from tests.faults.scripts import (
    END,
    FINISH,
    HEAD,
    HEL,
    HELLO,
    LO,
    Dictated,
    chunked,
    comments,
    empty_chunks,
    floods,
    hangs,
    resets,
    says_error,
    sends,
    sends_slowly,
    writes,
)
from tests.support.backend import Exchange
from tests.support.chunks import DONE, answer, chunk, event, usage_chunk
from tests.support.sse import chat

_fault = partial(Fault, "backend")
_WHOLE = ("Hello, then [DONE]", "Hello (complete)")
_ESTIMATED = ("Hello, then [DONE]", "Hello (complete, usage estimated)")
_BROKEN = ("Hel, then upstream_error", "Hel (error)")
_TRUNCATED = ("Hel, then upstream_truncated", "Hel (error)")
_GAP = {"llm_token_gap_timeout_seconds": 0.3}
_FIRST_TOKEN = {"llm_first_token_timeout_seconds": 0.5}
_TIMED_OUT = ("Hel, then upstream_timeout", "Hel (error)")
_NO_TOKEN = ("no text, then upstream_timeout", "no text (error)")
_FINISHED_HE, _FINISHED_L, _FINISHED_O, _FINISHED_HEL, _FINISHED_LO = (
    event(chunk(text, finish_reason="stop")) for text in ("He", "l", "o", "Hel", "lo")
)
_FEW_TOKENS = {"llm_max_tokens": 16}
_DEEP_USAGE: dict[str, Any] = {"prompt_tokens": True, "completion_tokens": -2, "total_tokens": 10**400}
for _ in range(500):
    _DEEP_USAGE = {"details": _DEEP_USAGE}
_ABORT, _ERROR = event(chunk(finish_reason="abort")), event(chunk(finish_reason="error"))
_ROLE = event(chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": None}}]))
_HELLO = b"".join(HELLO)
_REASONING = [
    {"reasoning": "They greet."},
    {"reasoning_content": "I greet."},
    {"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "wave", "arguments": "{}"}}]},
]
_THOUGHTS = [chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}]) for delta in _REASONING]


def _of_length(length: int) -> bytes:
    return HEAD + f"Content-Length: {length}\r\n\r\n".encode()


def _split(text: str) -> list[bytes]:
    """An answer of this text in UTF-8, every byte of it in a write of its own."""
    body = b"".join(answer("#")).replace(b"#", text.encode())
    return [body[n : n + 1] for n in range(len(body))]


def _apart(head: bytes, first: bytes, rest: bytes) -> Act:
    """The rest comes when the first event has been read."""

    async def act(lab: Lab) -> str:
        was_read = asyncio.Event()

        async def script(exchange: Exchange) -> None:
            await exchange.send(head, first)
            await was_read.wait()
            await exchange.send(rest)

        async with lab.mid_answer(script) as turn:
            was_read.set()
            return await turn.end()

    return act


async def _cut_off(lab: Lab) -> str:
    """Let the network pass nothing on."""
    answer = Dictated(HEL)
    async with lab.mid_answer(answer) as turn:
        lab.strike()
        lab.backend_line.freeze()
        answer.say(LO, *END)
        seen = await turn.end()
    lab.backend_line.thaw()
    return seen


async def _passes_on(lab: Lab) -> str:
    received = await chat(lab.here)
    assert [json.loads(each.data) for each in received[: len(_THOUGHTS)]] == _THOUGHTS
    return f"the chunks as they came, then {received[-1].data}"


def _finish(reason: str) -> bytes:
    """The end of an answer; a provider's name in brackets is the row's."""
    return event(chunk(finish_reason=reason.partition(" (")[0]))


def _refusal(text: str) -> bytes:
    return event(chunk(choices=[{"index": 0, "delta": {"refusal": text}, "finish_reason": None}]))


async def _in_json(lab: Lab) -> str:
    *received, end = await chat(lab.here)
    for each in received:
        json.loads(each.data, parse_constant=pytest.fail)
    return f"JSON for every parser, then {end.data}"


ENDS = [
    _fault(
        "silence after the role", MID_ANSWER, *_NO_TOKEN, (sends(_ROLE, then=hangs),), settings=_FIRST_TOKEN
    ),
    _fault(
        "silence, the status is out",
        "before the head",
        *_NO_TOKEN,
        (hangs,),
        settings={**_FIRST_TOKEN, "llm_status_wait_seconds": 0.05},
    ),
    _fault(
        "nothing but empty chunks", MID_ANSWER, *_NO_TOKEN, (sends(then=empty_chunks),), settings=_FIRST_TOKEN
    ),
    _fault("silence", MID_ANSWER, *_TIMED_OUT, (sends(HEL, then=hangs),), settings=_GAP),
    _fault(
        "comments, then nothing else", MID_ANSWER, *_TIMED_OUT, (sends(HEL, then=comments),), settings=_GAP
    ),
    _fault(
        "empty chunks, then nothing else",
        MID_ANSWER,
        *_TIMED_OUT,
        (sends(HEL, then=empty_chunks),),
        settings=_GAP,
    ),
    _fault("cut off from the network", MID_ANSWER, *_TIMED_OUT, act=_cut_off, settings=_GAP),
    _fault(
        "longer than the total",
        MID_ANSWER,
        *_TIMED_OUT,
        (sends(HEL, then=hangs),),
        settings={"llm_total_timeout_seconds": 2.0},
    ),
    _fault("an error object", MID_ANSWER, *_BROKEN, (sends(HEL, event(says_error())),)),
    _fault(
        "an error beside a finish_reason (OpenRouter)",
        MID_ANSWER,
        *_BROKEN,
        (sends(HEL, event(chunk("", finish_reason="error", **says_error())), DONE),),
    ),
    _fault("an event of type error", MID_ANSWER, *_BROKEN, (sends(HEL, b"event: error\ndata: {}\n\n"),)),
    _fault("finish_reason abort (vLLM)", MID_ANSWER, *_BROKEN, (sends(HEL, _ABORT, DONE),)),
    _fault("finish_reason error", MID_ANSWER, *_BROKEN, (sends(HEL, _ERROR, DONE),)),
    *(
        _fault(f"finish_reason {reason}", MID_ANSWER, *_BROKEN, (sends(HEL, _finish(reason), DONE),))
        for reason in (
            "network_error (Z.ai)",
            "insufficient_system_resource (DeepSeek)",
            "function_call_filter: MALFORMED_FUNCTION_CALL (Gemini)",
        )
    ),
    _fault(
        "a finish_reason that no provider documents",
        MID_ANSWER,
        *_TRUNCATED,
        (sends(HEL, event(chunk(finish_reason="tuesday")), DONE),),
    ),
    _fault(
        "a finish_reason before the last text",
        MID_ANSWER,
        "Hello, then upstream_truncated",
        "Hello (error)",
        (sends(HEL, FINISH, LO, DONE),),
    ),
    _fault(
        "an error after a finish_reason in every chunk",
        MID_ANSWER,
        "Hello, then upstream_error",
        "Hello (error)",
        (sends(_FINISHED_HEL, _FINISHED_LO, event(says_error())),),
    ),
    _fault(
        "a chunked body breaks off after a finish_reason in every chunk",
        MID_ANSWER,
        "Hello, then upstream_truncated",
        "Hello (error)",
        (
            writes(
                HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
                *chunked(_FINISHED_HEL, _FINISHED_LO),
                b"ff\r\ndata: {",
            ),
        ),
    ),
    *(
        _fault(
            f"a flood of {name}", MID_ANSWER, *_BROKEN, (sends(HEL, then=floods(part)),), settings=_FEW_TOKENS
        )
        for name, part in (
            ("empty chunks", event(chunk(""))),
            ("chunks that are {}", b"data: {}\n\n"),
            ("usage", event(usage_chunk())),
            ("comments", b": processing\n\n"),
            ("events of type ping", b"event: ping\ndata: {}\n\n"),
            ("lines without data", b"data:\n"),
            ("bytes without a line end", b"x" * 1024),
        )
    ),
    _fault("broken JSON", MID_ANSWER, *_BROKEN, (sends(HEL, b'data: {"choices": [\n\n', *HELLO[2:]),)),
    _fault(
        "a line above 1 MiB", MID_ANSWER, *_BROKEN, (sends(HEL, b"data: " + b"x" * 1024 * 1024, b"\n\n"),)
    ),
    _fault("closes", MID_ANSWER, *_TRUNCATED, (sends(HEL),)),
    _fault("closes in a line", MID_ANSWER, *_TRUNCATED, (sends(HEL, LO[:-20]),)),
    _fault("[DONE] without a finish_reason", MID_ANSWER, *_TRUNCATED, (sends(HEL, DONE),)),
    _fault(
        "an empty chunk, and no [DONE] (Ollama)", MID_ANSWER, *_TRUNCATED, (sends(HEL, event(chunk(""))),)
    ),
    _fault("reset", MID_ANSWER, *_TRUNCATED, (sends(HEL, then=resets),)),
    _fault(
        "a chunked body breaks off",
        MID_ANSWER,
        *_TRUNCATED,
        (writes(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunked(HEL), b"ff\r\ndata: {"),),
    ),
    _fault("shorter than its Content-Length", MID_ANSWER, *_TRUNCATED, (writes(_of_length(9999), HEL),)),
    _fault(
        "longer than its Content-Length", MID_ANSWER, *_TRUNCATED, act=_apart(_of_length(len(HEL)), HEL, LO)
    ),
    _fault("closes without usage and [DONE]", AFTER_FINISH, *_ESTIMATED, (sends(HEL, LO, FINISH),)),
    _fault("usage without [DONE]", AFTER_FINISH, *_WHOLE, (sends(*HELLO[:-1]),)),
    _fault("[DONE] without usage", AFTER_FINISH, *_ESTIMATED, (sends(HEL, LO, FINISH, DONE),)),
    _fault("silence", AFTER_FINISH, *_ESTIMATED, (sends(HEL, LO, FINISH, then=hangs),)),
    _fault("reset", AFTER_FINISH, *_ESTIMATED, (sends(HEL, LO, FINISH, then=resets),)),
    _fault("hangs after [DONE]", AFTER_FINISH, *_WHOLE, (sends(*HELLO, then=hangs),)),
    _fault("an error object", AFTER_FINISH, *_ESTIMATED, (sends(HEL, LO, FINISH, event(says_error())),)),
    _fault("broken JSON", AFTER_FINISH, *_ESTIMATED, (sends(HEL, LO, FINISH, b"data: {\n\n"),)),
    _fault(
        "usage that is no usage",
        AFTER_FINISH,
        *_ESTIMATED,
        (sends(HEL, LO, FINISH, event(chunk(choices=[], usage=_DEEP_USAGE)), DONE),),
    ),
    _fault(
        "a flood of empty chunks",
        AFTER_FINISH,
        *_ESTIMATED,
        (sends(HEL, LO, FINISH, then=floods(event(chunk("")))),),
        settings=_FEW_TOKENS,
    ),
]

_ODD = "the whole answer"
WAYS = [
    _fault(
        "the head comes with the first token (Ollama)",
        _ODD,
        *_WHOLE,
        (sends(b"".join(HELLO[:2]), *HELLO[2:]),),
    ),
    _fault(
        "an interim response before the head",
        _ODD,
        *_WHOLE,
        (writes(b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"\r\n", *HELLO),),
    ),
    _fault(
        "a chunked body",
        _ODD,
        *_WHOLE,
        (writes(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *chunked(*HELLO, b"")),),
    ),
    _fault("a body with a Content-Length", _ODD, *_WHOLE, (writes(_of_length(len(_HELLO)), *HELLO),)),
    _fault("byte by byte", _ODD, *_WHOLE, (sends(*(bytes([byte]) for byte in _HELLO)),)),
    _fault("many events in one write", _ODD, *_WHOLE, (sends(_HELLO),)),
    _fault(
        "a character split over two writes",
        _ODD,
        "Zażółć 🐢, then [DONE]",
        "Zażółć 🐢 (complete)",
        (sends(*_split("Zażółć 🐢")),),
    ),
    _fault("line ends CRLF", _ODD, *_WHOLE, (sends(_HELLO.replace(b"\n", b"\r\n")),)),
    _fault("line ends CR", _ODD, *_WHOLE, (sends(_HELLO.replace(b"\n", b"\r")),)),
    _fault("data over several lines", _ODD, *_WHOLE, (sends(_HELLO.replace(b', "', b',\ndata: "')),)),
    _fault("a byte order mark", _ODD, *_WHOLE, (sends(b"\xef\xbb\xbf" + _HELLO),)),
    _fault(
        "comments between the events",
        _ODD,
        *_WHOLE,
        (sends(b": ping\n\n", _HELLO.replace(b"\n\n", b"\n\n: ping\n\n")),),
    ),
    _fault(
        "other fields beside data",
        _ODD,
        *_WHOLE,
        (sends(b"retry: 1\n\n" + _HELLO.replace(b"data:", b"id: 7\nevent: message\ndata:")),),
    ),
    _fault("a role alone, content null", _ODD, *_WHOLE, (sends(_ROLE, *HELLO[1:]),)),
    _fault(
        "usage in the chunk of the finish_reason",
        _ODD,
        *_WHOLE,
        (sends(HEL, LO, event(usage_chunk() | chunk(finish_reason="stop")), DONE),),
    ),
    _fault(
        "reasoning, reasoning_content and tool_calls",
        _ODD,
        "the chunks as they came, then [DONE]",
        "Hello (complete)",
        (sends(*map(event, _THOUGHTS), *HELLO[1:]),),
        act=_passes_on,
    ),
    _fault(
        "finish_reason in every chunk, for longer than usage is waited for",
        _ODD,
        *_ESTIMATED,
        (sends_slowly(_FINISHED_HE, *[_FINISHED_L] * 2, _FINISHED_O, DONE, seconds=0.8),),
    ),
    _fault(
        "finish_reason null as a text",
        _ODD,
        *_WHOLE,
        (sends(*(event(chunk(text, finish_reason="null")) for text in ("Hel", "lo")), *HELLO[3:]),),
    ),
    _fault(
        "finish_reason in capitals (Gemini)", _ODD, *_WHOLE, (sends(HEL, LO, _finish("STOP"), *HELLO[4:]),)
    ),
    *(
        _fault(f"the last event without {what}", _ODD, *_ESTIMATED, (sends(HEL, _FINISHED_LO[:cut]),))
        for what, cut in (("its blank line", -1), ("any line end", -2))
    ),
    _fault(
        "half a character",
        _ODD,
        "ok \ufffd fine, then [DONE]",
        "ok \ufffd fine (complete, usage estimated)",
        (sends(event(chunk("ok #")).replace(b"#", b"\xf0\x9f"), event(chunk(" fine")), FINISH),),
    ),
    _fault(
        "logprobs that are infinite (SGLang)",
        _ODD,
        "JSON for every parser, then [DONE]",
        "Hello (complete)",
        (sends(HEL.replace(b'"index": 0', b'"index": 0, "logprobs": [NaN, -Infinity]'), *HELLO[2:]),),
        act=_in_json,
    ),
    _fault(
        "a refusal",
        _ODD,
        "no text, then [DONE]",
        "I can't help. (complete, usage estimated)",
        (sends(_ROLE, _refusal("I can't "), _refusal("help."), FINISH, DONE),),
    ),
    _fault("events after [DONE]", _ODD, *_WHOLE, (sends(*HELLO, event(chunk("late"))),)),
]
FAULTS = [*ENDS, *WAYS]


@pytest.mark.parametrize("fault", ENDS, ids=str)
async def test_a_backend_that_fails_late_leaves_what_had_come(fault: Fault, proven: Prove) -> None:
    await proven(fault)


@pytest.mark.parametrize("fault", WAYS, ids=str)
async def test_an_answer_is_whole_in_whatever_way_it_is_written(fault: Fault, proven: Prove) -> None:
    await proven(fault)
