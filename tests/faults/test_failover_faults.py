"""One of two backends fails: before content the second one answers, and the client notices nothing."""

from functools import partial

import pytest

from tests.faults.backend_acts import refused, unreachable
from tests.faults.conftest import Prove
from tests.faults.fault import BEFORE_EVENT, BEFORE_HEAD, CONNECT, MID_ANSWER, NOTHING, Fault
from tests.faults.lab import QUESTION, Lab
from tests.faults.scripts import HEL, NGINX, closes, comments, hangs, replies, resets, says_error, sends
from tests.support.backend import says
from tests.support.chunks import chunk, event

_ROLE = event(chunk(id="chatcmpl-first", choices=[{"index": 0, "delta": {"role": "assistant"}}]))
_WHOLE = ("Hello, then [DONE]", "Hello (complete)")
_FIRST_TOKEN = {"llm_first_token_timeout_seconds": 1}

_fault = partial(Fault, "backends", second=(says("Hello"),), asked_second=1)


async def _ask_twice(lab: Lab) -> str:
    """Let another user ask first."""
    assert await lab.ask(user_id="first", message=QUESTION) == _WHOLE[0]
    return await lab.ask()


FAULTS = [
    _fault("refused", CONNECT, *_WHOLE, act=refused, asked=0),
    _fault(
        "a host that does not answer",
        CONNECT,
        *_WHOLE,
        act=unreachable,
        settings={"llm_connect_timeout_seconds": 0.3},
        asked=0,
    ),
    _fault("closes without an answer", BEFORE_HEAD, *_WHOLE, (closes,)),
    _fault("reset", BEFORE_HEAD, *_WHOLE, (resets,)),
    _fault("401", BEFORE_HEAD, *_WHOLE, (replies(401, says_error("Incorrect API key: sk-secret")),)),
    _fault("500", BEFORE_HEAD, *_WHOLE, (replies(500, says_error()),)),
    _fault("503", BEFORE_HEAD, *_WHOLE, (replies(503, NGINX),)),
    _fault(
        "429, come back in 5 s",
        BEFORE_HEAD,
        *_WHOLE,
        (replies(429, says_error("Slow down."), Retry_After="5"),),
        act=_ask_twice,
        asked_second=2,
    ),
    _fault(
        "400",
        BEFORE_HEAD,
        "400 upstream_rejected",
        NOTHING,
        (replies(400, says_error("bad stop")),),
        asked_second=0,
    ),
    _fault(
        "503, both of them",
        BEFORE_HEAD,
        "503 upstream_unavailable, Retry-After 2",
        NOTHING,
        (replies(503, NGINX),),
        second=(replies(503, NGINX),),
    ),
    _fault("silence", BEFORE_HEAD, *_WHOLE, (hangs,), settings=_FIRST_TOKEN),
    _fault("silence", BEFORE_EVENT, *_WHOLE, (sends(then=hangs),), settings=_FIRST_TOKEN),
    _fault("nothing but comments", BEFORE_EVENT, *_WHOLE, (sends(then=comments),), settings=_FIRST_TOKEN),
    _fault("an error as the first event", BEFORE_EVENT, *_WHOLE, (sends(event(says_error())),)),
    _fault("a role, then it closes", BEFORE_EVENT, *_WHOLE, (sends(_ROLE),)),
    _fault("a role, then a reset", BEFORE_EVENT, *_WHOLE, (sends(_ROLE, then=resets),)),
    _fault("a role, then silence", BEFORE_EVENT, *_WHOLE, (sends(_ROLE, then=hangs),), settings=_FIRST_TOKEN),
    _fault(
        "closes",
        MID_ANSWER,
        "Hel, then upstream_truncated",
        "Hel (error)",
        (sends(HEL),),
        asked_second=0,
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_before_content_the_second_backend_answers(fault: Fault, proven: Prove) -> None:
    await proven(fault)
