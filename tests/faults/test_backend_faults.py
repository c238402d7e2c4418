"""A backend that fails before its first event: the client gets a status, and nothing is left behind."""

from functools import partial

import pytest

from tests.faults.backend_acts import refused, unreachable
from tests.faults.conftest import Prove
from tests.faults.fault import BEFORE_EVENT, BEFORE_HEAD, CONNECT, NOTHING, Fault
from tests.faults.scripts import (
    NGINX,
    closes,
    comments,
    hangs,
    replies,
    resets,
    says_error,
    sends,
    writes,
)
from tests.support.backend import says
from tests.support.chunks import DONE, chunk, event

_fault = partial(Fault, "backend")
_WHOLE = ("Hello, then [DONE]", "Hello (complete)")
_FAILED = ("502 upstream_error", NOTHING)
_UNAVAILABLE = ("503 upstream_unavailable, Retry-After 2", NOTHING)
_REJECTED = ("400 upstream_rejected", NOTHING)
_TOO_MUCH = ("400 context_length_exceeded", NOTHING)
_TIMED_OUT = ("504 upstream_timeout", NOTHING)
_BUSY = says_error("Slow down.")
# It names a size below the service's cap, so it is asked again with a smaller one.
_TOO_LONG = says_error("This model's maximum context length is 2048 tokens.")
_FIRST_TOKEN = {"llm_first_token_timeout_seconds": 0.5}
_WHOLE_COMPLETION = {
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}


FAULTS = [
    _fault("refused", CONNECT, *_UNAVAILABLE, act=refused, asked=0),
    _fault(
        "a host that cannot be resolved",
        CONNECT,
        *_UNAVAILABLE,
        settings={"llm_base_url": "http://backend.invalid/v1"},
        asked=0,
    ),
    _fault(
        "a host that does not answer",
        CONNECT,
        *_UNAVAILABLE,
        act=unreachable,
        settings={"llm_connect_timeout_seconds": 0.3},
        asked=0,
    ),
    _fault("closes without an answer, once", BEFORE_HEAD, *_WHOLE, (closes, says("Hello")), asked=2),
    _fault("closes without an answer, twice", BEFORE_HEAD, *_FAILED, (closes,), asked=2),
    _fault("reset, once", BEFORE_HEAD, *_WHOLE, (resets, says("Hello")), asked=2),
    _fault("reset, twice", BEFORE_HEAD, *_FAILED, (resets,), asked=2),
    _fault("no HTTP", BEFORE_HEAD, *_FAILED, (writes(b"SSH-2.0-OpenSSH_9.2\r\n"),)),
    _fault("a header of 100 KB", BEFORE_HEAD, *_FAILED, (replies(200, X_Padding="x" * 100_000),)),
    _fault("400", BEFORE_HEAD, *_REJECTED, (replies(400, says_error("bad stop")),)),
    _fault("400, an HTML page", BEFORE_HEAD, *_REJECTED, (replies(400, NGINX),)),
    _fault("422", BEFORE_HEAD, *_REJECTED, (replies(422, {"detail": [{"loc": ["body"], "msg": "x"}]}),)),
    _fault("400, beyond the context", BEFORE_HEAD, *_TOO_MUCH, (replies(400, _TOO_LONG),), asked=2),
    _fault("401", BEFORE_HEAD, *_FAILED, (replies(401, says_error("Incorrect API key: sk-secret")),)),
    _fault("403", BEFORE_HEAD, *_FAILED, (replies(403, says_error()),)),
    _fault("404", BEFORE_HEAD, *_FAILED, (replies(404, says_error("model not found")),)),
    _fault(
        "400, an array as Gemini has it",
        BEFORE_HEAD,
        *_REJECTED,
        (replies(400, [says_error('Unknown name "seed": Cannot find field.')]),),
    ),
    _fault(
        "400, filtered content", BEFORE_HEAD, *_REJECTED, (replies(400, says_error("Content Exists Risk")),)
    ),
    _fault("400, an unknown model", BEFORE_HEAD, *_FAILED, (replies(400, says_error("Model Not Exist")),)),
    _fault(
        "400, no system role",
        BEFORE_HEAD,
        *_WHOLE,
        (replies(400, says_error("System role not supported")), says("Hello")),
        asked=2,
    ),
    _fault(
        "400, another name for max_tokens",
        BEFORE_HEAD,
        *_WHOLE,
        (replies(400, says_error("'max_tokens': use 'max_completion_tokens' instead.")), says("Hello")),
        asked=2,
    ),
    _fault(
        "400, a smaller max_tokens",
        BEFORE_HEAD,
        *_WHOLE,
        (replies(400, says_error("the valid range of max_tokens is [1, 2048]")), says("Hello")),
        asked=2,
    ),
    _fault("402", BEFORE_HEAD, *_FAILED, (replies(402, says_error("Insufficient Balance")),)),
    _fault("413", BEFORE_HEAD, *_TOO_MUCH, (replies(413, NGINX),)),
    _fault(
        "429, out of credit",
        BEFORE_HEAD,
        *_FAILED,
        (replies(429, says_error("You exceeded your current quota.")),),
    ),
    _fault("500, beyond the context", BEFORE_HEAD, *_TOO_MUCH, (replies(500, _TOO_LONG),), asked=2),
    _fault("200, beyond the context, as JSON", BEFORE_EVENT, *_TOO_MUCH, (replies(200, _TOO_LONG),), asked=2),
    _fault(
        "an event of type error: beyond the context",
        BEFORE_EVENT,
        *_TOO_MUCH,
        (sends(b"event: error\n" + event(_TOO_LONG)),),
        asked=2,
    ),
    _fault(
        "an error event: no system role",
        BEFORE_EVENT,
        *_WHOLE,
        (sends(event(says_error("System role not supported"))), says("Hello")),
        asked=2,
    ),
    _fault("429", BEFORE_HEAD, "429 upstream_rate_limited, Retry-After 2", NOTHING, (replies(429, _BUSY),)),
    _fault(
        "429, come back in 7 s",
        BEFORE_HEAD,
        "429 upstream_rate_limited, Retry-After 7",
        NOTHING,
        (replies(429, _BUSY, Retry_After="7"),),
    ),
    _fault(
        "429, come back tomorrow",
        BEFORE_HEAD,
        "429 upstream_rate_limited, Retry-After 60",
        NOTHING,
        (replies(429, _BUSY, Retry_After="86400"),),
    ),
    _fault("500", BEFORE_HEAD, *_FAILED, (replies(500, says_error()),)),
    _fault("500, an HTML page", BEFORE_HEAD, *_FAILED, (replies(500, NGINX),)),
    _fault("502, once", BEFORE_HEAD, *_WHOLE, (replies(502, NGINX), says("Hello")), asked=2),
    _fault("502, twice", BEFORE_HEAD, *_FAILED, (replies(502, NGINX),), asked=2),
    _fault("503, once", BEFORE_HEAD, *_WHOLE, (replies(503, says_error()), says("Hello")), asked=2),
    _fault("503, twice", BEFORE_HEAD, *_UNAVAILABLE, (replies(503, NGINX),), asked=2),
    _fault(
        "503, the model is loading",
        BEFORE_HEAD,
        "503 upstream_unavailable, Retry-After 20",
        NOTHING,
        (replies(503, says_error("Loading model"), Retry_After="20"),),
        asked=2,
    ),
    _fault("504, once", BEFORE_HEAD, *_WHOLE, (replies(504, NGINX), says("Hello")), asked=2),
    _fault("504, twice", BEFORE_HEAD, *_FAILED, (replies(504, NGINX),), asked=2),
    _fault("a redirect", BEFORE_HEAD, *_FAILED, (replies(307, Location="http://backend.invalid/v1"),)),
    _fault("silence", BEFORE_HEAD, *_TIMED_OUT, (hangs,), settings=_FIRST_TOKEN),
    _fault("silence", BEFORE_EVENT, *_TIMED_OUT, (sends(then=hangs),), settings=_FIRST_TOKEN),
    _fault("nothing but comments", BEFORE_EVENT, *_TIMED_OUT, (sends(then=comments),), settings=_FIRST_TOKEN),
    _fault("closes", BEFORE_EVENT, *_FAILED, (sends(),)),
    _fault("reset", BEFORE_EVENT, *_FAILED, (sends(then=resets),)),
    _fault("[DONE] and nothing else", BEFORE_EVENT, *_FAILED, (sends(DONE),)),
    _fault("an empty body", BEFORE_EVENT, *_FAILED, (replies(200),)),
    _fault("an HTML page with status 200", BEFORE_EVENT, *_FAILED, (replies(200, NGINX),)),
    _fault("an error with status 200", BEFORE_EVENT, *_FAILED, (replies(200, says_error()),)),
    _fault("a completion that is no stream", BEFORE_EVENT, *_FAILED, (replies(200, _WHOLE_COMPLETION),)),
    _fault("an error as the first event", BEFORE_EVENT, *_FAILED, (sends(event(says_error())),)),
    _fault("an event of type error", BEFORE_EVENT, *_FAILED, (sends(b"event: error\n" + event(chunk("x"))),)),
    _fault("broken JSON", BEFORE_EVENT, *_FAILED, (sends(b'data: {"choices": [\n\n'),)),
    _fault(
        "finish_reason abort", BEFORE_EVENT, *_FAILED, (sends(event(chunk(finish_reason="abort")), DONE),)
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_backend_that_fails_early_leaves_nothing_behind(fault: Fault, proven: Prove) -> None:
    await proven(fault)
