"""What is read out of a chunk, and what is left as it came."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.chunk import MAX_FINISH_REASON_CHARS, NoChunk, ReportedFailure, parse_chunk
from app.usage import sanitised_usage
from tests.support.chunks import chunk, usage_chunk


def parse(body: dict[str, Any]) -> Any:
    return parse_chunk(json.dumps(body).encode())


def test_the_json_is_relayed_byte_for_byte() -> None:
    data = b'{ "choices":[{"delta":{"content":"\\u00e9"},"logprobs":null}], "x_vendor": 1.0 }'
    assert parse_chunk(data).data == data


def test_json_that_came_on_several_lines_is_put_on_one() -> None:
    assert parse_chunk(b'{"choices":\n[]}').data == b'{"choices": []}'


def test_text_is_content() -> None:
    parsed = parse(chunk("Hello"))
    assert (parsed.content, parsed.has_content, parsed.finish_reason) == ("Hello", True, None)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content", "refusal"])
def test_reasoning_counts_as_content_that_a_model_made_but_is_no_part_of_the_text(field: str) -> None:
    body = chunk()
    body["choices"][0]["delta"] = {"content": None, field: "hm"}
    parsed = parse(body)
    assert (parsed.content, parsed.has_content) == ("", True)


def test_tool_calls_count_as_content_too() -> None:
    body = chunk()
    body["choices"][0]["delta"] = {"tool_calls": [{"index": 0}]}
    assert parse(body).has_content


@pytest.mark.parametrize("delta", [{}, {"content": None}, {"content": ""}, {"role": "assistant"}])
def test_a_chunk_without_text_has_no_content(delta: dict[str, Any]) -> None:
    body = chunk()
    body["choices"][0]["delta"] = delta
    assert not parse(body).has_content


def test_the_finish_reason_is_noted() -> None:
    assert parse(chunk(finish_reason="length")).finish_reason == "length"


def test_an_empty_finish_reason_is_none() -> None:
    assert parse(chunk("a", finish_reason="")).finish_reason is None


def test_the_usage_chunk_is_told_from_others() -> None:
    parsed = parse(usage_chunk())
    assert parsed.is_usage_only
    assert parsed.usage is not None
    assert parsed.usage["total_tokens"] == 7


def test_usage_beside_a_choice_is_noted_and_the_chunk_stays_an_ordinary_one() -> None:
    parsed = parse(chunk("a", usage={"total_tokens": 3}))
    assert (parsed.usage, parsed.is_usage_only) == ({"total_tokens": 3}, False)


def test_empty_choices_without_usage_are_an_ordinary_chunk() -> None:
    assert not parse(chunk(choices=[], prompt_filter_results=[])).is_usage_only


def test_half_a_surrogate_pair_is_kept_for_its_other_half() -> None:
    parsed = parse_chunk(b'{"choices":[{"delta":{"content":"\\ud83d"}}]}')
    assert parsed.content == "\ud83d"


def test_half_a_pair_in_the_finish_reason_is_repaired() -> None:
    assert parse_chunk(b'{"choices":[{"delta":{},"finish_reason":"\\ud83d"}]}').finish_reason == "?"


@pytest.mark.parametrize("reason", ["", "null", "None", None, 7, False, ["stop"]])
def test_a_placeholder_is_no_finish_reason(reason: Any) -> None:
    assert parse(chunk("a", finish_reason=reason)).finish_reason is None


def test_a_finish_reason_is_bounded() -> None:
    assert parse(chunk(finish_reason="x" * 5000)).finish_reason == "x" * MAX_FINISH_REASON_CHARS


def test_a_refusal_is_read_and_is_no_part_of_the_text() -> None:
    body = chunk()
    body["choices"][0]["delta"] = {"content": "", "refusal": "I can't help with that."}
    parsed = parse(body)
    assert (parsed.refusal, parsed.content, parsed.has_content) == ("I can't help with that.", "", True)


@pytest.mark.parametrize("refusal", [None, "", 7, {"text": "no"}])
def test_a_refusal_that_is_no_text_is_none(refusal: object) -> None:
    body = chunk("a")
    body["choices"][0]["delta"]["refusal"] = refusal
    assert parse(body).refusal == ""


def test_the_text_of_an_older_completion_is_content() -> None:
    parsed = parse({"object": "text_completion", "choices": [{"index": 0, "text": "Hi", "logprobs": None}]})
    assert (parsed.content, parsed.has_content) == ("Hi", True)


@pytest.mark.parametrize(
    "delta",
    [{"token_id": 2}, {"index": 1}, {"annotations": [{"type": "url_citation"}]}, {"extra_content": {"a": 1}}],
)
def test_what_only_accompanies_content_is_none(delta: dict[str, Any]) -> None:
    body = chunk()
    body["choices"][0]["delta"] = {"role": "assistant", "content": "", **delta}
    assert not parse(body).has_content


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_no_json_is_relayed_as_null_and_nothing_else_is_touched(constant: str) -> None:
    data = '{ "choices":[{"delta":{"content":"NaN -Infinity \\" é"},"logprobs":{"a": %s,"b":[%s]}}],"c":1.0}'
    parsed = parse_chunk((data % (constant, constant)).encode())
    assert parsed.data.decode() == data % ("null", "null")
    assert parsed.content == 'NaN -Infinity " é'
    json.loads(parsed.data, parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (b'{"choices":[{"delta":{"content":"ok \xf0\x9f"}}]}', "ok \ufffd"),
        (b'{"choices":[{"delta":{"content":"\xff\xfe"}}]}', "\ufffd\ufffd"),
        (b'{"choices":[{"delta":{"content":"\xed\xa0\x80"}}]}', "\ufffd\ufffd\ufffd"),
        (b'{"choices":[{"delta":{"content":"a","name\xff":1}}]}', "a"),
        (b'{"model":"\xf0\x9f","choices":[{"delta":{"content":"a"}}]}', "a"),
        (b'{"choices":[{"delta":{"content":"a"},"logprobs":{"token":"\xe2\x82"}}]}', "a"),
    ],
)
def test_bytes_that_are_no_utf_8_are_replaced_wherever_they_are(data: bytes, content: str) -> None:
    parsed = parse_chunk(data)
    assert parsed.content == content
    assert parsed.data == data.decode("utf-8", "replace").encode()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_json_in_another_encoding_is_no_chunk(encoding: str) -> None:
    with pytest.raises(NoChunk):
        parse_chunk('{"choices":[]}'.encode(encoding))


@pytest.mark.parametrize("count", ["9" * 400, "9" * 100_000, "1e999", "-1"])
def test_a_count_of_any_size_costs_the_count_and_not_the_chunk(count: str) -> None:
    data = b'{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":%s,"x":1}}' % count.encode()
    parsed = parse_chunk(data)
    assert (parsed.content, parsed.data) == ("a", data)
    assert sanitised_usage(parsed.usage) == {"x": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"<html>",
        b"\xff\xfe",
        b'{"choices": 1}',
        b'{"choices": [7]}',
        b'{"x": nan}',
        b'{"x": True}',
        b"{'choices': []}",
        b'{"choices": [' + b"[" * 100_000 + b"]}",
    ],
)
def test_what_is_no_chunk_is_refused(data: bytes) -> None:
    with pytest.raises(NoChunk):
        parse_chunk(data)


def test_nesting_that_this_python_cannot_follow_is_refused_and_otherwise_relayed() -> None:
    data = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    with suppress(NoChunk):  # Python 3.14 and later follow it
        assert parse_chunk(data).data == data


@pytest.mark.parametrize(
    "data",
    [b'{"error": {"message": "out of memory"}}', b'{"error": "boom", "choices": []}', b'{"error": [1]}'],
)
def test_an_error_object_is_told_from_a_chunk(data: bytes) -> None:
    with pytest.raises(ReportedFailure):
        parse_chunk(data)


TEXT = st.text(st.sampled_from('aN"\\\n\u2028é🐢'), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=12,
)
DELTA = st.dictionaries(st.sampled_from(["role", "content", "refusal", "reasoning", "tool_calls"]), JSON)
CHUNKS = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(
            st.fixed_dictionaries(
                {}, optional={"delta": DELTA | JSON, "finish_reason": JSON, "logprobs": JSON}
            )
        )
        | JSON,
        "usage": JSON,
        "error": JSON,
        "x": JSON,
    },
)


@given(CHUNKS)
def test_whatever_json_a_backend_sends_what_is_relayed_is_json_for_every_client(body: Any) -> None:
    data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    with suppress(NoChunk, ReportedFailure):
        parsed = parse_chunk(data)
        relayed = json.loads(parsed.data.decode(), parse_constant=pytest.fail)
        assert set(relayed) == set(body)
        msgspec.json.encode(sanitised_usage(parsed.usage))


@given(st.binary())
def test_no_bytes_at_all_break_it(data: bytes) -> None:
    with suppress(NoChunk, ReportedFailure):
        parse_chunk(data)
