"""Bodies of requests: whatever a client sends is read or refused."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ServiceError, ValidationFailed
from app.models import ResponseRequest
from app.prompts.response_items import chat_messages
from app.responses.completion import completion_fields
from app.responses.input import read_items
from app.responses.request import MAX_ECHO_BYTES, read_body, read_request
from app.responses.tools import read_tool_choice

FIELDS = [
    *("type", "role", "content", "text", "input", "call_id", "name", "arguments", "output", "summary"),
    *("tools", "tool_choice", "parameters", "strict", "format", "schema", "mode", "reasoning", "effort"),
    *("image_url", "detail", "file_data", "filename", "refusal", "conversation", "id", "metadata"),
    *("encrypted_content", "verbosity", "json_schema", "description"),
]
WORDS = [
    *("message", "user", "assistant", "function", "function_call", "function_call_output", "reasoning"),
    *("input_text", "output_text", "refusal", "input_image", "input_file", "json_schema", "allowed_tools"),
    *("auto", "required", "weather", ""),
]
word = st.sampled_from(WORDS)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | word,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5),
    max_leaves=12,
)
item = st.fixed_dictionaries(
    {"type": word | anything},
    optional=dict.fromkeys(("role", "content", "call_id", "name", "arguments", "output"), word | anything),
)
body = st.fixed_dictionaries(
    {"input": word | st.lists(item, max_size=3) | anything},
    optional=dict.fromkeys(("tools", "tool_choice", "text", "reasoning", "metadata"), anything),
)


@settings(max_examples=100, deadline=None)
@given(body)
def test_any_body_is_read_or_refused(fields: dict[str, Any]) -> None:
    with suppress(ServiceError):
        read = read_body(fields)
        request = read_request(read, read.input, model="test-model")
        completion_fields(read, request)
        chat_messages(request.input)


@settings(max_examples=100, deadline=None)
@given(st.lists(item | anything, max_size=3))
def test_any_items_are_read_or_refused(given_items: list[Any]) -> None:
    with suppress(ServiceError):
        items = read_items(given_items, "items")
        assert read_items(items, "items") == items
        chat_messages(items)


def test_a_number_is_the_same_here_and_read_from_the_store() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"maximum": 10**30, "minimum": 1.50}}
    read = read_body({"input": "Hi", "tools": [tool], "max_output_tokens": 16.0, "temperature": 1})
    request = read_request(read, read.input, model="test-model")
    assert request.echo["max_output_tokens"] == 16
    stored = msgspec.json.encode(request)
    assert msgspec.json.encode(msgspec.json.decode(stored, type=ResponseRequest)) == stored


def test_calls_that_follow_each_other_are_one_message() -> None:
    call = {"type": "function_call", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "output": "done"}
    items = [{**call, "call_id": "a"}, {**call, "call_id": "b"}, {**output, "call_id": "a"}]
    messages = chat_messages(read_items(items, "input"))
    assert [message["role"] for message in messages] == ["assistant", "tool"]
    assert [each["id"] for each in messages[0]["tool_calls"]] == ["a", "b"]


def test_a_choice_of_allowed_tools_is_written_as_these_tools_alone() -> None:
    tools: list[Any] = [{"type": "function", "name": name} for name in ("one", "two")]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "two"}]}
    read = read_body({"input": "Hi", "tools": tools, "tool_choice": allowed})
    fields = completion_fields(read, read_request(read, read.input, model="test-model"))
    assert [tool["function"]["name"] for tool in fields["tools"]] == ["two"]
    assert fields["tool_choice"] == "required"


def test_a_choice_of_an_unknown_function_is_refused() -> None:
    with pytest.raises(ServiceError) as refused:
        read_tool_choice({"type": "function", "name": "nope"}, [])
    assert refused.value.param == "tool_choice"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"instructions": "é" * (MAX_ECHO_BYTES // 2)}, "instructions"),
        (
            {
                "tools": [
                    {"type": "function", "name": f"f{n}", "description": "x" * 1024} for n in range(1024)
                ]
            },
            "tools",
        ),
    ],
)
def test_what_every_answer_repeats_is_bounded(fields: dict[str, Any], param: str) -> None:
    body = read_body({"input": "Hi", **fields})
    with pytest.raises(ValidationFailed) as refused:
        read_request(body, body.input, model="test-model")
    assert refused.value.param == param
