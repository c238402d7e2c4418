"""What an answer comes to, chunk by chunk."""

from typing import Any

import pytest

from app.llm.chunk import Chunk, parse_chunk
from app.models import AssistantMessage
from app.turns.answer_builder import AnswerBuilder
from tests.support.chunks import chunk, event, usage_chunk


def parsed(body: dict[str, Any]) -> Chunk:
    return parse_chunk(event(body)[6:-2])


def built(*bodies: dict[str, Any]) -> AnswerBuilder:
    answer = AnswerBuilder()
    for body in bodies:
        answer.add(parsed(body))
    return answer


def stored(*bodies: dict[str, Any]) -> AssistantMessage:
    return built(*bodies).message(turn_id="t", model="m", status="complete", prompt_tokens=3)


def delta(**fields: Any) -> dict[str, Any]:
    return chunk(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


def test_text_is_joined_and_usage_is_the_last_one() -> None:
    message = stored(
        chunk("Hel"), usage_chunk(1, 1), chunk("lo"), chunk(finish_reason="stop"), usage_chunk(5, 2)
    )
    assert (message.content, message.finish_reason) == ("Hello", "stop")
    assert message.usage == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    assert not message.usage_estimated


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": True}, {"prompt_tokens": -1}, {"prompt_tokens": 10**400}]
)
def test_a_usage_with_no_count_to_keep_is_estimated(usage: Any) -> None:
    answer = built(chunk("Hi"), chunk(finish_reason="stop", usage=usage))
    message = answer.message(turn_id="t", model="m", status="complete", prompt_tokens=2.5)
    assert message.usage_estimated
    assert message.usage == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    assert answer.prompt_tokens is None


def test_a_refusal_is_the_answer() -> None:
    assert stored(delta(refusal="I can't "), delta(refusal="help."), chunk(finish_reason="stop")).content == (
        "I can't help."
    )


def test_a_refusal_after_some_text_is_a_paragraph_of_its_own() -> None:
    assert stored(chunk("Well."), delta(refusal="I can't help.")).content == "Well.\n\nI can't help."


def test_neither_reasoning_nor_tool_calls_are_text() -> None:
    assert stored(delta(reasoning="hm"), delta(tool_calls=[{"index": 0}]), chunk("Hi")).content == "Hi"


def test_a_surrogate_pair_in_two_chunks_is_one_character() -> None:
    halves = [
        parse_chunk(b'{"choices":[{"delta":{"content":"\\u%s"}}]}' % half) for half in (b"d83d", b"dc22")
    ]
    answer = AnswerBuilder()
    for half in halves:
        answer.add(half)
    message = answer.message(turn_id="t", model="m", status="complete", prompt_tokens=1)
    assert message.content == "\U0001f422"


@pytest.mark.parametrize(
    ("bodies", "finish_reason", "is_whole"),
    [
        ([chunk("a")], None, False),
        ([chunk("a", finish_reason="stop")], "stop", True),
        ([chunk("a"), chunk(finish_reason="length"), usage_chunk()], "length", True),
        ([chunk("a"), chunk(finish_reason="weird")], "weird", False),
        # A finish reason in every chunk: the next one may not be the end either.
        ([chunk("a", finish_reason="stop"), chunk("b", finish_reason="stop")], "stop", False),
        ([chunk("a", finish_reason="stop"), chunk("b")], None, False),
        ([chunk("a", finish_reason="stop"), delta(reasoning="hm")], None, False),
        ([chunk("a", finish_reason="stop"), delta(annotations=[1])], "stop", True),
    ],
)
def test_an_answer_has_all_its_text_after_a_finish_reason_that_nothing_disproves(
    bodies: list[dict[str, Any]],
    finish_reason: str | None,
    is_whole: bool,  # noqa: FBT001 - a column of the table
) -> None:
    answer = built(*bodies)
    assert (answer.finish_reason, answer.is_whole) == (finish_reason, is_whole)
