"""Stored turns as a backend gets them: what the strictest chat template takes."""

from collections.abc import Iterable

from app.models import AssistantMessage, Message, UserMessage

_FILTERED = "content_filter"

_THINKING = (
    ("<think>", "</think>"),  # DeepSeek-R1, Qwen3, and most others: vLLM's reasoning parsers
    ("<thinking>", "</thinking>"),  # Open WebUI's DEFAULT_REASONING_TAGS, as all down to <|begin_of_thought|>
    ("<reason>", "</reason>"),
    ("<reasoning>", "</reasoning>"),
    ("<thought>", "</thought>"),  # Gemini's OpenAI front with include_thoughts
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # OpenThinker
    ("[think]", "[/think]"),  # Mistral's Magistral, in capitals
    ("<seed:think>", "</seed:think>"),  # ByteDance's Seed-OSS
    ("<longcat_think>", "</longcat_think>"),  # Meituan's LongCat
    ("◁think▷", "◁/think▷"),  # Moonshot's Kimi-VL
)
"""Tags around what a model thinks before it answers, in lower case."""
_BARE_END = "</think>"
"""DeepSeek-R1's template opens the block in the prompt. Its answers only close it."""


def as_sent(turn: Iterable[Message]) -> list[dict[str, str]]:
    """Return a turn's question and answer in OpenAI's shape; empty: the turn is left out.

    A turn is left out as a whole if its question or its answer is blank, so that user and assistant take
    turns. So is an answer that a content filter has cut: with its text the next prompt would be refused, too.
    """
    questions = [message.content for message in turn if isinstance(message, UserMessage)]
    answers = [
        "" if message.finish_reason == _FILTERED else without_thinking(message.content)
        for message in turn
        if isinstance(message, AssistantMessage)
    ]
    question, answer = "\n\n".join(questions), "\n\n".join(answers)
    if not question.strip() or not answer.strip():
        return []
    return [message("user", question), message("assistant", answer)]


def without_thinking(answer: str) -> str:
    """Return an answer without the leading blocks in which its model thought. An open block has no end."""
    while True:
        text = answer.lstrip()
        for opening, closing in _THINKING:
            if text[: len(opening)].lower() == opening:
                answer = _after(closing, text)
                break
        else:
            return _after_bare_end(answer)


def message(role: str, content: str) -> dict[str, str]:
    """Return a message in OpenAI's shape."""
    return {"role": role, "content": content}


def _after(closing: str, text: str) -> str:
    for candidate in (closing, closing.upper()):
        _, found, rest = text.partition(candidate)
        if found:
            return rest.lstrip()
    return ""


def _after_bare_end(answer: str) -> str:
    """Leave out what a tag on a line of its own ends; within a line, the answer talks about the tag."""
    before, found, rest = answer.partition(f"\n{_BARE_END}\n")
    return rest.lstrip() if found and _THINKING[0][0] not in before else answer
