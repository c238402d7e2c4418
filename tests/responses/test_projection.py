"""Events of responses: pure, complete, and such that OpenAI's package takes them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai._models import validate_type
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseErrorEvent, ResponseStreamEvent
from pydantic import TypeAdapter

from app.models import TurnEnd
from app.responses.projection import NO_EVENTS, ResponseProjection
from app.responses.record import ResponseRecord
from tests.responses.chunks import TURN, call, delta, record, usage

COMPLETE = TurnEnd("complete", ended_at=1_700_000_001)
ENDS = [
    COMPLETE,
    TurnEnd("stopped"),
    TurnEnd("error", "upstream_truncated", "It broke off."),
    TurnEnd("interrupted", "generation_lost"),
    TurnEnd("error", "upstream_rate_limited"),
]
_event = TypeAdapter[Any](ResponseStreamEvent)

text = st.text(st.characters(codec=None, categories=None), max_size=6)
name = st.sampled_from(["weather", "time"])
chunks = st.lists(
    st.one_of(
        st.builds(lambda words: delta(content=words), text),
        st.builds(lambda words: delta(reasoning_content=words), text),
        st.builds(lambda words: delta(reasoning=words, content=""), text),
        st.builds(lambda words: delta(refusal=words), text),
        st.builds(
            lambda index, call_id, called, arguments: call(index, call_id, name=called, arguments=arguments),
            st.none() | st.integers(0, 2),
            st.none() | st.sampled_from(["a", "b"]),
            st.none() | name,
            text,
        ),
        st.builds(delta, st.sampled_from(["stop", "length", "tool_calls", "content_filter", "", "null"])),
        st.builds(lambda n: usage(prompt_tokens=n, completion_tokens=n), st.integers(0, 9)),
        st.sampled_from([b'{"choices":null}', b'{"choices":[{"text":"old"}]}', b'{"choices":[{"delta":7}]}']),
    ),
    max_size=30,
)


def fold(
    given_chunks: list[bytes], end: TurnEnd = COMPLETE, *, of: ResponseRecord | None = None, after: float = -1
) -> bytes:
    projection = ResponseProjection(of or record(), after=after)
    return b"".join([projection.open(), *map(projection.feed, given_chunks), projection.close(end)])


def events(stream: bytes) -> list[dict[str, Any]]:
    frames = [frame.split(b"\n") for frame in stream.split(b"\n\n")[:-1]]
    assert all(len(frame) == 2 for frame in frames)
    found = [json.loads(frame[1].removeprefix(b"data: ")) for frame in frames]
    assert [frame[0].decode() for frame in frames] == [f"event: {each['type']}" for each in found]
    return found


def kinds(stream: bytes) -> list[str]:
    return [each["type"].removeprefix("response.") for each in events(stream)]


@settings(deadline=None)
@given(chunks, st.sampled_from(ENDS), st.sampled_from([record(), record(background=True)]))
def test_any_answer_is_a_stream_that_openais_package_takes(
    given_chunks: list[bytes], end: TurnEnd, asked: ResponseRecord
) -> None:
    stream = fold(given_chunks, end, of=asked)
    found = events(stream)
    assert [each["sequence_number"] for each in found] == list(range(len(found)))
    state = ResponseStreamState[Any](input_tools=omit, text_format=omit)
    for each in found:
        parsed = _event.validate_python(each)
        if not isinstance(parsed, ResponseErrorEvent):
            state.handle_event(parsed)
    final = found[-1]["response"]
    validate_type(type_=Response, value=final)
    done = [each["item"] for each in found if each["type"] == "response.output_item.done"]
    assert sorted(done, key=lambda item: item["id"][-4:]) == final["output"]


@settings(deadline=None)
@given(chunks, st.sampled_from(ENDS), st.data())
def test_from_any_cut_the_rest_has_the_same_bytes(
    given_chunks: list[bytes], end: TurnEnd, data: st.DataObject
) -> None:
    stream = fold(given_chunks, end)
    frames = [frame + b"\n\n" for frame in stream.split(b"\n\n")[:-1]]
    cut = data.draw(st.integers(0, len(frames) - 1))
    assert fold(given_chunks, end, after=cut) == b"".join(frames[cut + 1 :])
    assert fold(given_chunks, end, after=NO_EVENTS) == b""


@settings(deadline=None)
@given(chunks)
def test_what_is_done_is_what_the_deltas_have_said(given_chunks: list[bytes]) -> None:
    said: dict[tuple[str, int], str] = {}
    for each in events(fold(given_chunks)):
        place = (each.get("item_id", ""), each.get("content_index", 0))
        if each["type"].endswith(".delta"):
            said[place] = said.get(place, "") + each["delta"]
        elif each["type"].endswith(("_text.done", "refusal.done", "arguments.done")):
            whole = next(each[field] for field in ("text", "refusal", "arguments") if field in each)
            assert whole == said.get(place, "")


def test_a_text_has_the_events_of_openais_api_in_their_order() -> None:
    stream = fold([delta(role="assistant"), delta(content="Hel"), delta(content="lo"), delta("stop")])
    assert kinds(stream) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    final = events(stream)[-1]["response"]
    assert (final["id"], final["status"], final["completed_at"]) == (
        f"resp_{TURN}",
        "completed",
        1_700_000_001,
    )
    assert final["output"][0]["content"] == [
        {"type": "output_text", "text": "Hello", "logprobs": [], "annotations": []}
    ]


def test_a_background_response_is_queued_between_created_and_in_progress() -> None:
    found = events(fold([], of=record(background=True)))
    assert [(each["type"], each["response"]["status"]) for each in found[:3]] == [
        ("response.created", "queued"),
        ("response.queued", "queued"),
        ("response.in_progress", "in_progress"),
    ]


def test_what_the_model_thinks_is_an_item_of_its_own() -> None:
    stream = fold([delta(reasoning="Hm", content=None), delta(content="Hi"), delta("stop")])
    final = events(stream)[-1]["response"]
    assert [item["type"] for item in final["output"]] == ["reasoning", "message"]
    assert final["output"][0]["content"] == [{"type": "reasoning_text", "text": "Hm"}]
    assert "reasoning_text.delta" in kinds(stream)
    assert "reasoning_text.done" in kinds(stream)


def test_parts_of_mistrals_thinking_are_reasoning() -> None:
    part = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}
    final = events(fold([delta(content=[part]), delta(content=[{"type": "text", "text": "Hi"}])]))[-1]
    reasoning, message = final["response"]["output"]
    assert (reasoning["content"][0]["text"], message["content"][0]["text"]) == ("Hm", "Hi")


def test_calls_whose_parts_alternate_are_put_together() -> None:
    found = events(
        fold(
            [
                delta(content="I look."),
                call(0, "call_1", name="weather", arguments=""),
                call(0, arguments='{"city":'),
                call(1, "call_2", name="time", arguments="{}"),
                call(0, arguments='"Rome"}'),
                delta("tool_calls"),
            ]
        )
    )
    output = found[-1]["response"]["output"]
    assert [(item["call_id"], item["name"], item["arguments"]) for item in output[1:]] == [
        ("call_1", "weather", '{"city":"Rome"}'),
        ("call_2", "time", "{}"),
    ]
    done = [each for each in found if each["type"] == "response.function_call_arguments.done"]
    assert [each["name"] for each in done] == ["weather", "time"]


def test_calls_that_a_backend_numbers_alike_are_two_calls() -> None:
    parts = [call(0, "a", name="one", arguments="{}"), call(0, "b", name="two", arguments="{}")]
    output = events(fold(parts))[-1]["response"]["output"]
    assert [(item["call_id"], item["name"]) for item in output] == [("a", "one"), ("b", "two")]


def test_calls_without_ids_get_ids_of_their_own() -> None:
    parts = [call(0, name="one", arguments="{}"), call(1, name="two", arguments="{}")]
    output = events(fold(parts))[-1]["response"]["output"]
    assert len({item["call_id"] for item in output}) == 2
    assert all(item["call_id"].startswith("call_") for item in output)


def test_half_of_a_character_waits_for_the_other_half() -> None:
    parts = [
        b'{"choices":[{"delta":{"content":"a\\ud83d"}}]}',
        b'{"choices":[{"delta":{"content":"\\ude00b"}}]}',
    ]
    found = events(fold(parts))
    assert [each["delta"] for each in found if each["type"].endswith(".delta")] == ["a", "\N{GRINNING FACE}b"]


def test_a_chunk_that_cannot_be_read_adds_nothing() -> None:
    deep = b'{"choices":[{"delta":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}]}"
    for odd in (deep, b'{"created":' + b"9" * 5000 + b"}", b"7", b"{"):
        assert kinds(fold([odd])) == ["created", "in_progress", "completed"]


def test_a_refusal_is_a_part_of_the_message() -> None:
    stream = fold([delta(refusal="I will not."), delta("stop")])
    assert events(stream)[-1]["response"]["output"][0]["content"] == [
        {"type": "refusal", "refusal": "I will not."}
    ]
    assert {"refusal.delta", "refusal.done"} <= set(kinds(stream))


@pytest.mark.parametrize(
    ("finish_reason", "reason"),
    [
        ("length", "max_output_tokens"),
        ("MAX_TOKENS", "max_output_tokens"),
        ("content_filter", "content_filter"),
    ],
)
def test_an_answer_that_was_cut_is_incomplete(finish_reason: str, reason: str) -> None:
    final = events(fold([delta(content="a"), delta(finish_reason)]))[-1]
    assert final["type"] == "response.incomplete"
    assert final["response"]["incomplete_details"] == {"reason": reason}
    assert final["response"]["output"][0]["status"] == "incomplete"
    assert final["response"]["completed_at"] is None


def test_a_cancelled_response_ends_as_incomplete() -> None:
    final = events(fold([delta(content="a")], TurnEnd("stopped")))[-1]
    assert (final["type"], final["response"]["status"]) == ("response.incomplete", "cancelled")


def test_a_failure_is_said_nested_and_flat_and_keeps_what_came() -> None:
    *_, error, final = events(fold([delta(content="a")], TurnEnd("interrupted", "generation_lost", "Gone.")))
    assert error["code"] == error["error"]["code"] == "server_error"
    assert error["message"] == error["error"]["message"] == "generation_lost: Gone."
    assert (final["type"], final["response"]["status"]) == ("response.failed", "failed")
    assert final["response"]["error"] == {"code": "server_error", "message": "generation_lost: Gone."}
    assert final["response"]["output"][0]["content"][0]["text"] == "a"


def test_usage_has_the_names_of_responses() -> None:
    counts = {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    final = events(fold([delta(content="a"), delta("stop"), usage(**counts)]))[-1]["response"]
    assert final["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 8,
    }


def test_probabilities_are_there_if_they_were_asked_for() -> None:
    token = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -1.0}]}
    choice = {"delta": {"content": "a"}, "logprobs": {"content": [token]}}
    chunk = json.dumps({"choices": [choice]}).encode()
    asked = events(fold([chunk], of=record(has_logprobs=True)))[-1]["response"]
    assert asked["output"][0]["content"][0]["logprobs"] == [
        {**token, "top_logprobs": [{"token": "b", "bytes": [], "logprob": -1.0}]}
    ]
    unasked = events(fold([chunk]))[-1]["response"]
    assert unasked["output"][0]["content"][0]["logprobs"] == []
