"""Prompts of responses: everything that was said, or the newest turns if older ones may be left out."""

from typing import Any

import pytest

from app.errors import ValidationFailed
from app.prompts.response_prompts import ResponsePrompts, Turns

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}, {"role": "assistant", "content": text}]


def prompts(earlier: Turns, *, is_trimmed: bool = True, new: str = "New") -> ResponsePrompts:
    async def read() -> Turns:
        return earlier

    return ResponsePrompts(
        {"model": "test-model", "stream": True},
        instructions="Be brief.",
        read_earlier=read,
        new=[{"role": "user", "content": new}],
        is_trimmed=is_trimmed,
        max_tokens=100,
        affinity="",
    )


async def test_everything_that_was_said_stands_between_the_instructions_and_the_input() -> None:
    prompt = await prompts([said("One"), said("Two")]).first()
    texts = [message["content"] for message in prompt.completion.messages]
    assert texts == ["Be brief.", "One", "One", "Two", "Two", "New"]


async def test_the_oldest_turns_are_left_out_first() -> None:
    source = prompts([said("a" * 400), said("b" * 400), said("c" * 400)])
    shorter = await source.shorter(await source.first(), share=0.5)
    assert [message["content"][0] for message in shorter.completion.messages] == ["B", "c", "c", "N"]
    assert shorter.dropped_messages == 4
    alone = await source.shorter(shorter, share=0)
    assert [message["content"] for message in alone.completion.messages] == ["Be brief.", "New"]


async def test_what_a_function_has_returned_goes_with_its_call() -> None:
    call: list[dict[str, Any]] = [
        {"role": "user", "content": "x" * 400},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
    ]
    output: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": "a", "content": "sun"},
        {"role": "assistant", "content": "Sun"},
    ]
    source = prompts([call, output, said("Then?")])
    shorter = await source.shorter(await source.first(), share=0.5)
    assert [message["role"] for message in shorter.completion.messages] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


async def test_nothing_is_left_out_unless_that_is_allowed() -> None:
    source = prompts([said("One")], is_trimmed=False)
    first = await source.first()
    assert await source.shorter(first, share=0) is first


async def test_a_prompt_without_any_message_is_refused() -> None:
    async def read() -> Turns:
        return []

    source = ResponsePrompts(
        {"model": "test-model"},
        instructions=None,
        read_earlier=read,
        new=[],
        is_trimmed=False,
        max_tokens=100,
        affinity="",
    )
    with pytest.raises(ValidationFailed):
        await source.first()
