"""Stored turns as a backend gets them, in a form that the strictest chat template accepts."""

from collections.abc import Iterable

from app.llm.finish import is_filtered
from app.models import AssistantMessage, Message, UserMessage

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
"""Tags around what a model thinks before it answers, in lower case. The comments name models or sources."""
_BARE_END = "</think>"
"""DeepSeek-R1's template opens the block in the prompt. Its answers only close it."""


def as_sent(turn: Iterable[Message]) -> list[dict[str, str]]:
    """Return a turn's question and answer in OpenAI's shape; empty: the turn is left out.

    A turn is left out as a whole if its question or its answer is blank, so that user and assistant
    alternate. So is a turn whose answer a filter has cut: with its text the backend would refuse the next
    prompt, too.
    """
    questions = [message.content for message in turn if isinstance(message, UserMessage)]
    answers = [
        "" if _is_filtered(message) else without_thinking(message.content)
        for message in turn
        if isinstance(message, AssistantMessage)
    ]
    question, answer = "\n\n".join(questions), "\n\n".join(answers)
    if not question.strip() or not answer.strip():
        return []
    return [message("user", question), message("assistant", answer)]


def without_thinking(answer: str) -> str:
    """Return an answer without the leading blocks in which its model thought.

    A block that is never closed goes on to the end.
    """
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


def _is_filtered(answer: AssistantMessage) -> bool:
    return answer.finish_reason is not None and is_filtered(answer.finish_reason)


def _after(closing: str, text: str) -> str:
    for candidate in (closing, closing.upper()):
        _, found, rest = text.partition(candidate)
        if found:
            return rest.lstrip()
    return ""


def _after_bare_end(answer: str) -> str:
    """Leave out what ends with a tag on a line of its own. Within a line, the answer talks about the tag."""
    before, found, rest = answer.partition(f"\n{_BARE_END}\n")
    return rest.lstrip() if found and _THINKING[0][0] not in before else answer
