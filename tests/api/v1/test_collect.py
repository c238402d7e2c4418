"""Chunks of any shape are put together to one completion, or refused."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.api.v1.collect import collect as collect_turn
from tests.support.chunks import chunk


def collect(events: list[bytes]) -> bytes:
    return collect_turn(events, turn_id="t", model="m")


def collected(*deltas: Any, **choice: Any) -> dict[str, Any]:
    """Collect these deltas of one choice, and return its message."""
    chunks = [chunk(choices=[{"index": 0, "delta": delta, **choice}]) for delta in deltas]
    completion = json.loads(collect([json.dumps(each).encode() for each in chunks]))
    message: dict[str, Any] = completion["choices"][0]["message"]
    return message


def call(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [fields]}


def calls_of(message: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (each["id"], each["function"]["name"], each["function"]["arguments"])
        for each in message["tool_calls"]
    ]


def test_a_message_has_every_field_of_openais() -> None:
    completion = json.loads(collect([json.dumps(chunk("Hi", finish_reason="stop")).encode()]))
    assert completion["object"] == "chat.completion"
    assert completion["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi", "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]


def test_calls_that_begin_at_another_index_than_zero_stay_whole() -> None:
    message = collected(
        call(index=1, id="a", function={"name": "f", "arguments": "{"}),
        call(index=1, function={"arguments": "}"}),
    )
    assert calls_of(message) == [("a", "f", "{}")]
    assert "index" not in message["tool_calls"][0]


def test_calls_of_one_index_are_told_apart_by_their_ids() -> None:
    message = collected(
        call(index=0, id="a", function={"name": "f", "arguments": "{}"}),
        call(index=0, id="b", function={"name": "g", "arguments": "{"}),
        call(index=0, function={"arguments": "}"}),
    )
    assert calls_of(message) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    message = collected(
        call(id="a", function={"name": "f", "arguments": "{"}),
        call(id="a", function={"arguments": "}"}),
        call(id="b", function={"name": "g", "arguments": "{"}),
        call(function={"arguments": "}"}),
    )
    assert calls_of(message) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_thinking_in_parts_of_the_content_is_no_part_of_its_text() -> None:
    def thinking(text: str) -> dict[str, Any]:
        return {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]}

    message = collected({"content": ""}, thinking("a"), thinking("b"), {"content": "c"}, {"content": "d"})
    assert (message["content"], message["reasoning_content"]) == ("cd", "ab")


def test_text_outside_of_deltas_is_the_content() -> None:
    chunks = [{"id": "c", "choices": [{"index": 0, "text": text}]} for text in ("a", "b")]
    completion = json.loads(collect([json.dumps(each).encode() for each in chunks]))
    assert completion["choices"][0]["message"]["content"] == "ab"
    assert (completion["id"], completion["model"]) == ("c", "m")
    assert completion["created"] > 0


def test_the_halves_of_a_surrogate_pair_are_joined() -> None:
    assert collected({"content": "a\ud83d"}, {"content": "\udc22b"})["content"] == "a\U0001f422b"


def test_numbers_that_only_some_parsers_take_spoil_nothing() -> None:
    odd = b'{"id":"c","big":1e999,"long":%b,"choices":[{"index":0,"delta":{"content":"Hi\\ud83d"}}]}' % (
        b"9" * 5000
    )
    completion = json.loads(collect([odd]), parse_constant=pytest.fail)
    assert completion["choices"][0]["message"]["content"] == "Hi\ud83d"


def test_a_completion_that_was_not_streamed_stays_as_it_is() -> None:
    whole = b'{"id":"c",  "choices":[{"message":{"content":"Hi"},"index":0}], "precise":1.10}'
    assert collect([whole]) == whole


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["content", "text", "type", "thinking", "tool_calls", "function", "arguments", "index", "id"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
choices = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(["index", "delta", "text", "logprobs"], anything)),
    max_size=3,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.fixed_dictionaries({"choices": st.none() | choices, "usage": anything}), max_size=4))
def test_no_shape_of_chunks_is_a_defect(chunks: list[dict[str, Any]]) -> None:
    json.loads(collect([json.dumps(each).encode() for each in chunks]))
