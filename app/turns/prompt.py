"""What the model is asked: the system prompt, the conversation so far and the new message."""

from collections.abc import Iterable

from app.llm.client import CompletionRequest
from app.models import AssistantMessage, Message, Question


def build_request(
    question: Question, history: Iterable[Message], *, system_prompt: str | None, max_tokens: int
) -> CompletionRequest:
    """The request for an answer, which may be shorter than `max_tokens` but not longer."""
    sampling = dict(question.sampling)
    asked = sampling.pop("max_tokens", max_tokens)
    return CompletionRequest(
        model=question.model,
        messages=build_prompt(system_prompt, history, question.message),
        max_tokens=min(asked, max_tokens),
        sampling=sampling,
    )


def build_prompt(system_prompt: str | None, history: Iterable[Message], message: str) -> list[dict[str, str]]:
    """The prompt in OpenAI's shape. An answer without text is left out: backends refuse empty messages."""
    prompt = [{"role": "system", "content": system_prompt}] if system_prompt else []
    prompt += [
        {"role": "assistant" if isinstance(kept, AssistantMessage) else "user", "content": kept.content}
        for kept in history
        if kept.content
    ]
    return [*prompt, {"role": "user", "content": message}]
