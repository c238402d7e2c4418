"""Finish reasons, by what they say of the answer."""

import pytest

from app.llm.finish import FILTERED, is_failure, is_filtered, is_finish, is_unset, printable


@pytest.mark.parametrize(
    "reason",
    [
        "stop",
        "length",
        "tool_calls",
        "function_call",
        "content_filter",
        "content_filter: PROHIBITED_CONTENT",
        "STOP",
        "MAX_TOKENS",
        "SAFETY",
        "COMPLETE",
        "eos",
        "eos_token",
        "stop_sequence",
        "end_turn",
        "model_length",
        "sensitive",
        "model_context_window_exceeded",
        "guardrail_intervened",
    ],
)
def test_a_reason_of_a_real_provider_ends_an_answer(reason: str) -> None:
    assert is_finish(reason)
    assert not is_failure(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "abort",
        "error",
        "network_error",
        "insufficient_system_resource",
        "function_call_filter: MALFORMED_FUNCTION_CALL",
        "MALFORMED_FUNCTION_CALL",
        "ERROR",
        "TIMEOUT",
        "cancelled",
        "time_limit",
        "load",
    ],
)
def test_a_reason_that_tells_of_a_failure_ends_none(reason: str) -> None:
    assert is_failure(reason)
    assert not is_finish(reason)


@pytest.mark.parametrize("reason", ["", "weird", "stopped by the moon", "stop the press", "nonstop"])
def test_a_reason_that_no_provider_documents_is_neither(reason: str) -> None:
    assert not is_finish(reason)
    assert not is_failure(reason)


@pytest.mark.parametrize("reason", ["", "null", "NULL", "None", "none"])
def test_a_placeholder_is_told_from_a_reason(reason: str) -> None:
    assert is_unset(reason)


def test_every_filter_ends_the_answer() -> None:
    assert all(map(is_finish, FILTERED))


@pytest.mark.parametrize("reason", [*sorted(FILTERED), "SAFETY", "content_filter: PROHIBITED_CONTENT"])
def test_a_filters_reason_is_known_in_every_spelling(reason: str) -> None:
    assert is_filtered(reason)


@pytest.mark.parametrize("reason", ["stop", "length", "error", "weird"])
def test_no_other_reason_is_a_filters(reason: str) -> None:
    assert not is_filtered(reason)


@pytest.mark.parametrize(
    ("reason", "printed"),
    [("weird_reason: 7", "weird_reason: 7"), ("a\nb", "unprintable"), ("\u202e", "unprintable")],
)
def test_only_a_plain_reason_is_printed(reason: str, printed: str) -> None:
    assert printable(reason) == printed
