"""An answer as it comes together: what is kept of the chunks."""

from math import ceil
from typing import Any

from app.clock import now_rfc3339
from app.llm.chunk import Chunk
from app.models import AssistantMessage, TurnStatus
from app.prompts.estimates import text_tokens


class AnswerBuilder:
    """Gathers text, finish reason and usage."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self.finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None

    def add(self, chunk: Chunk) -> None:
        """Note what the chunk brings."""
        if chunk.content:
            self._content.append(chunk.content)
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self._usage = chunk.usage or self._usage

    @property
    def prompt_tokens(self) -> int | None:
        """How many tokens of the prompt the backend has counted, if it has."""
        counted = (self._usage or {}).get("prompt_tokens")
        return counted if isinstance(counted, int) and counted > 0 else None

    def usage(self, *, prompt_tokens: float) -> dict[str, Any]:
        """As the backend has counted, else estimated."""
        return self._usage or _estimate(prompt_tokens, text_tokens(_text(self._content)))

    def message(
        self, *, turn_id: str, model: str, status: TurnStatus, prompt_tokens: float
    ) -> AssistantMessage:
        """The answer as it is kept."""
        return AssistantMessage(
            content=_text(self._content),
            turn_id=turn_id,
            created_at=now_rfc3339(),
            status=status,
            model=model,
            finish_reason=self.finish_reason,
            usage=self.usage(prompt_tokens=prompt_tokens),
            usage_estimated=self._usage is None,
        )


def _estimate(prompt_tokens: float, completion_tokens: float) -> dict[str, Any]:
    prompt, completion = ceil(prompt_tokens), ceil(completion_tokens)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _text(parts: list[str]) -> str:
    """Join what came in parts; a surrogate pair split over two of them is one character again."""
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
