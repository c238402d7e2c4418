"""The response object: what was asked, how it stands, and how it ended."""

from typing import Any, Literal, NamedTuple

from app.errors import RateLimitError, RequestError, error_for
from app.llm.finish import is_cut_short, is_filtered
from app.models import TurnEnd
from app.responses.ids import response_id
from app.responses.record import Item, ResponseRecord
from app.usage import sanitised_usage

ResponseStatus = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]


class Outcome(NamedTuple):
    """How a response stands."""

    status: ResponseStatus
    error: dict[str, Any] | None = None
    incomplete_reason: Literal["max_output_tokens", "content_filter"] | None = None
    completed_at: int | None = None

    @property
    def event(self) -> str:
        """The type of the event that ends the stream; a cancelled response has no event of its own."""
        return f"response.{'incomplete' if self.status == 'cancelled' else self.status}"


def outcome_of(end: TurnEnd, finish_reason: str | None) -> Outcome:
    """Tell how a response ended."""
    if end.code is not None:
        return Outcome("failed", _error(end.code, end.message))
    if end.status == "stopped":
        return Outcome("cancelled")
    if finish_reason is not None and is_cut_short(finish_reason):
        return Outcome("incomplete", None, "max_output_tokens")
    if finish_reason is not None and is_filtered(finish_reason):
        return Outcome("incomplete", None, "content_filter")
    return Outcome("completed", completed_at=end.ended_at)


def response_object(
    record: ResponseRecord, outcome: Outcome, *, output: list[Item], usage: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the response as OpenAI's API has it."""
    reason = outcome.incomplete_reason
    return {
        "id": response_id(record.turn_id),
        "object": "response",
        "created_at": record.created_at,
        "status": outcome.status,
        "completed_at": outcome.completed_at,
        "error": outcome.error,
        "incomplete_details": reason and {"reason": reason},
        "output": output,
        "usage": usage_of(usage),
        **record.request.echo,
    }


def usage_of(usage: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what a backend has counted under the names that responses have for it."""
    counted = sanitised_usage(usage)
    if counted is None:
        return None
    asked, answered = _count(counted, "prompt_tokens"), _count(counted, "completion_tokens")
    return {
        "input_tokens": asked,
        "input_tokens_details": {
            "cached_tokens": _count(counted.get("prompt_tokens_details"), "cached_tokens")
            or _count(counted, "prompt_cache_hit_tokens"),  # DeepSeek
            "cache_write_tokens": _count(counted.get("prompt_tokens_details"), "cache_write_tokens"),
        },
        "output_tokens": answered,
        "output_tokens_details": {
            "reasoning_tokens": _count(counted.get("completion_tokens_details"), "reasoning_tokens")
        },
        "total_tokens": _count(counted, "total_tokens") or asked + answered,
    }


def _count(counted: object, name: str) -> int:
    value = counted.get(name) if isinstance(counted, dict) else None
    return value if isinstance(value, int) else 0


def _error(code: str, message: str | None) -> dict[str, Any]:
    """Name the failure by one of OpenAI's codes: its clients know no other. Ours begins the message."""
    failure = error_for(code, message)
    match failure:
        case RateLimitError():
            known = "rate_limit_exceeded"
        case RequestError():
            known = "invalid_prompt"
        case _:
            known = "server_error"
    return {"code": known, "message": f"{failure.code}: {failure.message}"}
