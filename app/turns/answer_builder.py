"""An answer as it comes together: what is stored of the chunks."""

from math import ceil
from typing import Any

from app.clock import now_rfc3339
from app.llm.chunk import Chunk
from app.llm.finish import is_finish
from app.models import AssistantMessage, TurnStatus
from app.prompts.estimates import text_tokens
from app.usage import sanitised_usage


class AnswerBuilder:
    """Gathers text, refusal, finish reason and usage."""

    def __init__(self) -> None:
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._raw_usage: dict[str, Any] | None = None
        self._usage: dict[str, Any] | None = None
        self._was_disproved = False
        self.finish_reason: str | None = None
        """The last one that no content has followed."""

    def add(self, chunk: Chunk) -> None:
        """Note what the chunk brings."""
        if chunk.content:
            self._content.append(chunk.content)
        if chunk.refusal:
            self._refusal.append(chunk.refusal)
        if self.finish_reason is not None and chunk.has_content:
            self.finish_reason = None
            self._was_disproved = True
        self.finish_reason = chunk.finish_reason or self.finish_reason
        if chunk.usage:
            self._raw_usage = chunk.usage

    @property
    def is_whole(self) -> bool:
        """Whether an answer that is interrupted now has only its usage and its end still to come."""
        return self.finish_reason is not None and not self._was_disproved and is_finish(self.finish_reason)

    @property
    def prompt_tokens(self) -> int | None:
        """The number of tokens of the prompt, if the backend has counted them."""
        counted = (self._counted or {}).get("prompt_tokens")
        return counted if isinstance(counted, int) and counted > 0 else None

    def usage(self, *, prompt_tokens: float) -> dict[str, Any]:
        """Return the usage as the backend has counted it, otherwise an estimate."""
        return self._counted or _estimate(prompt_tokens, text_tokens(self._text))

    def message(
        self, *, turn_id: str, model: str, status: TurnStatus, prompt_tokens: float
    ) -> AssistantMessage:
        """Return the answer as it is stored."""
        return AssistantMessage(
            content=self._text,
            turn_id=turn_id,
            created_at=now_rfc3339(),
            status=status,
            model=model,
            finish_reason=self.finish_reason,
            usage=self.usage(prompt_tokens=prompt_tokens),
            usage_estimated=self._counted is None,
        )

    @property
    def _counted(self) -> dict[str, Any] | None:
        """The usage as it is stored. It is sanitised late, because some backends send one with each token."""
        if self._raw_usage is not None:
            self._usage = sanitised_usage(self._raw_usage)
            self._raw_usage = None
        return self._usage

    @property
    def _text(self) -> str:
        """The text that the model has said; a refusal is its answer."""
        return "\n\n".join(filter(None, (_joined(self._content), _joined(self._refusal))))


def _estimate(prompt_tokens: float, completion_tokens: float) -> dict[str, Any]:
    prompt, completion = ceil(prompt_tokens), ceil(completion_tokens)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _joined(parts: list[str]) -> str:
    """Join what came in parts; a surrogate pair split over two of them is one character again."""
    return "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
