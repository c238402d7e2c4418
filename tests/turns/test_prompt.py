"""What the model is asked."""

from app.models import AssistantMessage, Message, UserMessage
from app.turns.prompt import build_prompt

AT = "2026-01-01T00:00:00.000Z"
HISTORY: list[Message] = [
    UserMessage("One", "t1", AT),
    AssistantMessage("First", "t1", AT, "complete", "m"),
    UserMessage("Two", "t2", AT),
    AssistantMessage("", "t2", AT, "error", "m"),
    UserMessage("Three", "t3", AT),
    AssistantMessage("Thi", "t3", AT, "interrupted", "m"),
]


def test_the_system_prompt_is_first_and_the_new_message_last() -> None:
    assert build_prompt("Be kind.", [], "Hi") == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ]


def test_without_a_system_prompt_none_is_sent() -> None:
    assert build_prompt(None, [], "Hi") == [{"role": "user", "content": "Hi"}]


def test_unfinished_answers_are_in_it_with_the_text_they_have_and_empty_ones_are_not() -> None:
    assert [message["content"] for message in build_prompt(None, HISTORY, "Four")] == [
        "One",
        "First",
        "Two",
        "Three",
        "Thi",
        "Four",
    ]
