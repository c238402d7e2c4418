"""What of a backend's usage is stored, and what an older release may have stored."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import AssistantMessage, decode_message
from app.usage import MAX_COUNT, sanitised_usage


def nested(depth: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"prompt_tokens": 1}
    for _ in range(depth):
        fields = {"details": fields}
    return fields


def test_what_backends_send_is_kept_with_one_level_of_details() -> None:
    usage = {
        "prompt_tokens": 7,
        "completion_tokens": 0,
        "total_tokens": MAX_COUNT,
        "prompt_tokens_details": {"cached_tokens": 3, "service_tier": "default"},
        "service_tier": "default",
    }
    assert sanitised_usage(usage) == usage


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        None,
        -1,
        MAX_COUNT + 1,
        10**400,
        0.5,
        float("nan"),
        float("inf"),
        [1],
        "x" * 257,
        "\ud83d",
        {},
        {"deeper": {"prompt_tokens": 1}},
        nested(500),
    ],
)
def test_what_is_no_count_no_short_text_and_no_details_is_dropped(value: object) -> None:
    assert sanitised_usage({"x": value, "prompt_tokens": 7}) == {"prompt_tokens": 7}


@pytest.mark.parametrize("name", ["x" * 65, "\ud83d"])
def test_a_field_whose_name_is_too_long_or_no_text_is_dropped(name: str) -> None:
    assert sanitised_usage({name: 1, "prompt_tokens": 7}) == {"prompt_tokens": 7}


def test_a_count_that_was_written_as_a_fraction_is_a_whole_number() -> None:
    assert repr(sanitised_usage({"prompt_tokens": 12.0})) == "{'prompt_tokens': 12}"


def test_the_number_of_fields_is_bounded() -> None:
    flood = {str(n): n for n in range(100_000)}
    kept = sanitised_usage({**flood, "details": flood})
    assert kept is not None
    assert len(kept) == 64


@pytest.mark.parametrize("usage", [None, [], {}, "7", 7, {"prompt_tokens": True}])
def test_a_usage_with_nothing_to_keep_is_none(usage: object) -> None:
    assert sanitised_usage(usage) is None


TEXT = st.text(st.sampled_from("aé🐢\ud83d"), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)


@given(JSON)
def test_whatever_was_sent_what_is_kept_can_be_stored_and_is_kept_again(usage: object) -> None:
    kept = sanitised_usage(usage)
    assert sanitised_usage(msgspec.json.decode(msgspec.json.encode(kept))) == kept


def stored(usage: str) -> str:
    fields = (
        '"role":"assistant","content":"Hi","turn_id":"t","created_at":"c","status":"complete","model":"m"'
    )
    return f'{{{fields},"usage":{usage}}}'


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ('{"prompt_tokens":7,"x":true,"y":-1}', {"prompt_tokens": 7}),
        (f'{{"prompt_tokens":{"9" * 400},"x":7}}', {"x": 7}),
        (f'{{"prompt_tokens":{"9" * 5000},"x":7}}', {"x": 7}),
        ('{"prompt_tokens":1e999,"x":7}', {"x": 7}),
        ('{"prompt_tokens":NaN,"x":7}', {"x": 7}),
        ('{"x":7,"y":"\\ud83d"}', {"x": 7}),
        ('{"details":' * 500 + "1" + "}" * 500, None),
        ("[1]", None),
        ('"7"', None),
    ],
)
def test_a_damaged_usage_of_a_stored_message_costs_the_usage_alone(
    usage: str, expected: dict[str, int] | None
) -> None:
    message = decode_message(stored(usage))
    assert isinstance(message, AssistantMessage)
    assert (message.content, message.usage) == ("Hi", expected)


@pytest.mark.parametrize(
    "element", ["", "[]", "7", "null", '{"role":"user"}', stored("{").replace("}", ""), stored("7")[:-1]]
)
def test_what_is_no_message_is_refused(element: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_message(element)
