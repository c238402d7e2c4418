"""What the model is asked: the system prompt, the conversation so far and the new message."""

from collections.abc import Iterable

from app.models import AssistantMessage, Message


def build_prompt(system_prompt: str | None, history: Iterable[Message], message: str) -> list[dict[str, str]]:
    """The prompt in OpenAI's shape. An answer without text is left out: backends refuse empty messages."""
    prompt = [{"role": "system", "content": system_prompt}] if system_prompt else []
    prompt += [
        {"role": "assistant" if isinstance(kept, AssistantMessage) else "user", "content": kept.content}
        for kept in history
        if kept.content
    ]
    return [*prompt, {"role": "user", "content": message}]
