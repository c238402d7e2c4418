"""Clients that leave, stall or send nonsense: they harm neither their turn nor other clients."""

from functools import partial

import pytest

from tests.faults import client_acts as client
from tests.faults.conftest import Prove
from tests.faults.fault import MID_ANSWER, NOTHING, Fault
from tests.faults.scripts import replies, says_error, sends
from tests.faults.wire import BODY, head, request
from tests.support.backend import says

_fault = partial(Fault, "client")
_refused = partial(_fault, phase="the request", stored=NOTHING, asked=0)
_left = partial(_fault, sees=client.GONE, stored="Hello (complete)")
_CUT = ("Hel, then the line is cut", "Hello (complete)")
_DEEP = b"[" * 100_000
_HELLO = ("Hello, then [DONE]", "Hello (complete)")
_TLS = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"
_TOO_LARGE = b"x" * 300_000
_DEEP_FIELD = BODY[:-1] + b', "stop": ' + b"[" * 100 + b"]" * 100 + b"}"

FAULTS = [
    _left("goes", "before the head", act=client.gone_before_the_head(says("Hello"))),
    _fault(
        "goes, and the backend fails",
        "before the head",
        client.GONE,
        NOTHING,
        act=client.gone_before_the_head(replies(500, says_error())),
    ),
    _left("goes", MID_ANSWER, act=client.gone_in_mid_answer(with_reset=False)),
    _left("its line is reset", MID_ANSWER, act=client.gone_in_mid_answer(with_reset=True)),
    _fault("goes and comes back", MID_ANSWER, *_HELLO, act=client.comes_back),
    _fault(
        "its line is reset; it asks again with its Idempotency-Key",
        MID_ANSWER,
        *_HELLO,
        act=client.asks_again_with_its_key,
    ),
    _fault(
        "goes for good",
        MID_ANSWER,
        client.GONE,
        "Hel (interrupted)",
        act=client.gone_for_good,
        settings={"resume_grace_seconds": 0},
    ),
    _fault("closes its side", MID_ANSWER, *_CUT, act=client.half_closed),
    _fault(
        "reads nothing",
        MID_ANSWER,
        *_CUT,
        (sends(*client.LONG),),
        act=client.stalled,
        settings={"slow_reader_seconds": 0.5, **client.LONG_ANSWERS},
    ),
    _fault(
        "reads slowly",
        MID_ANSWER,
        *_HELLO,
        (sends(*client.LONG),),
        act=client.slow,
        settings={"slow_reader_seconds": 1, **client.LONG_ANSWERS},
    ),
    _fault(
        "two requests at once on one line",
        "the request",
        "Hello, then [DONE]; Hello, then [DONE]",
        "Hello (complete), Hello (complete)",
        act=client.sends(request() + request("Connection: close")),
        asked=2,
    ),
    _fault(
        "a hundred other connections that say nothing",
        "the request",
        *_HELLO,
        act=client.many_silent,
    ),
    _refused("a body that does not end", sees="408 request_timeout", act=client.slow_body),
    _refused("goes in its body", sees=client.GONE, act=client.sends_and_goes(request()[:-1])),
    _refused("goes in its head", sees=client.GONE, act=client.sends_and_goes(head()[:-2])),
    _refused(
        "a body above the limit, announced",
        sees="413 body_too_large",
        act=client.sends(head(f"Content-Length: {len(_TOO_LARGE)}")),
    ),
    _refused(
        "a body above the limit, chunked",
        sees="413 body_too_large",
        act=client.sends(head("Transfer-Encoding: chunked"), b"493e0\r\n", _TOO_LARGE),
    ),
    _refused("broken JSON", sees="400 invalid_json", act=client.posts(BODY[:-1])),
    _refused(
        "JSON that is not UTF-8",
        sees="400 invalid_json",
        act=client.posts(b"\xff" + BODY),
    ),
    _refused(
        "JSON of 100,000 levels",
        sees="400 invalid_json",
        act=client.posts(_DEEP),
    ),
    _refused(
        "a field of 100 levels",
        sees="422 validation_error",
        act=client.posts(_DEEP_FIELD),
    ),
    _refused("TLS where none is spoken", sees="400 invalid_http", act=client.sends(_TLS)),
    _refused(
        "a head of 100 KB", sees="400 invalid_http", act=client.sends(head("X-Padding: " + "x" * 100_000))
    ),
    _refused(
        "a head that does not end", sees="400 invalid_http", act=client.sends(head()[:-2], b"x" * 100_000)
    ),
    _refused(
        "a body of two lengths",
        sees="400 invalid_http",
        act=client.sends(head(f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked") + BODY),
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_client_harms_at_most_itself(fault: Fault, proven: Prove) -> None:
    await proven(fault)
