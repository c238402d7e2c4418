"""What is read out of a chunk, and what is left as it came."""

import json
from typing import Any

import pytest

from app.errors import UpstreamError
from app.llm.chunk import parse_chunk
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


def test_half_a_pair_elsewhere_is_repaired() -> None:
    parsed = parse_chunk(b'{"choices":[{"delta":{},"finish_reason":"\\ud83d"}],"usage":{"x":"\\ud83d"}}')
    assert (parsed.finish_reason, parsed.usage) == ("?", {"x": "?"})


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b'"text"',
        b"<html>",
        b"\xff\xfe",
        b'{"choices": 1}',
        b'{"choices": [' + b"[" * 100_000 + b"]}",
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"error": {"message": "out of memory"}}',
        b'{"error": "boom", "choices": []}',
        b'{"choices": [{"delta": {}, "finish_reason": "abort"}]}',
        b'{"choices": [{"delta": {}, "finish_reason": "error"}]}',
    ],
)
def test_what_is_no_chunk_or_reports_a_failure_is_an_upstream_error(data: bytes) -> None:
    with pytest.raises(UpstreamError):
        parse_chunk(data)
