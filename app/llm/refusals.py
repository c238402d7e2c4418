"""Reads what a backend says when it refuses or fails, in whatever shape, and sorts it by what it means.

A refusal is an object, an array, a string, a message wrapped in another gateway's message, or an event in a
stream. `read` is the only place that looks into it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from app.errors import UpstreamError
from app.llm.decoder import EventStreamDecoder, LineTooLong
from app.llm.wordings import WORDINGS, Meaning

MAX_BODY_BYTES = 64 * 1024
"""What is read of a refusal at most."""
_MAX_CHARS = 4000
_MAX_DEPTH = 8
_MAX_ITEMS = 20
_MAX_CODE_CHARS = 64
_WRAPPERS = (
    "metadata",
    "raw",
    "error",
    "errors",
    "message",
    "Message",
    "detail",
    "details",
    "msg",
    "error_message",
)
"""Fields that hold a backend's words, or the object that holds them; the most specific first.

OpenRouter keeps the provider's own refusal in `error.metadata.raw` beside "Provider returned error".
"""
_CODES = ("code", "type", "param", "status", "reason", "error_type", "__type", "error_code")
_STATUSES = range(400, 600)
_BY_STATUS = {
    401: Meaning.OPERATOR,
    402: Meaning.OPERATOR,
    403: Meaning.OPERATOR,
    404: Meaning.OPERATOR,
    405: Meaning.OPERATOR,
    413: Meaning.CONTEXT,
    429: Meaning.BUSY,
    503: Meaning.BUSY,
}
"""What a status means if the words say nothing that is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """What a backend says instead of an answer."""

    meaning: Meaning
    status: int | None
    """The HTTP status; in a stream the status that the error names, if it names one."""
    sentence: str
    """The backend's own words, not cleaned; empty if it sent none."""
    codes: tuple[str, ...] = ()
    """The codes, types and parameters that come with them, not cleaned."""

    @property
    def text(self) -> str:
        """All that may name a parameter."""
        return _text(self.sentence, self.codes)


class Refused(UpstreamError):
    """The backend refused the request, or reported a failure in its stream."""

    def __init__(self, refusal: Refusal, *, has_begun: bool = False, retry_after: int | None = None) -> None:
        """Keep what the backend said.

        Args:
            refusal: The refusal.
            has_begun: Whether content came before: then nothing can be asked again.
            retry_after: The seconds to wait, if the backend named them.
        """
        super().__init__(retry_after=retry_after)
        self.refusal = refusal
        self.has_begun = has_begun


def read(body: bytes, *, status: int | None = None) -> Refusal:
    """Read a refusal: the body of a response, or the data of an event.

    Args:
        body: What came; only the first 64 KB count.
        status: The response's status; None for an event of a stream.
    """
    said = _decoded(body[:MAX_BODY_BYTES])
    sentences: list[str] = []
    codes: list[str] = []
    for part in _parts(said, _MAX_DEPTH):
        if isinstance(part, str):
            sentences.append(part)
        else:
            codes.extend(_codes_of(part))
            if status is None and (code := part.get("code")) in _STATUSES:
                status = code
    sentence = _encodable("; ".join(dict.fromkeys(sentences))[:_MAX_CHARS])
    known_codes = tuple(map(_encodable, dict.fromkeys(codes)))[:_MAX_ITEMS]
    return Refusal(
        meaning=_meaning(_text(sentence, known_codes), status),
        status=status,
        sentence=sentence,
        codes=known_codes,
    )


def _encodable(words: str) -> str:
    """Replace half a surrogate pair: JSON may escape one, and no client and no store takes it."""
    return words.encode("utf-8", "replace").decode()


def _text(sentence: str, codes: tuple[str, ...]) -> str:
    return "\n".join((*codes, sentence))


def _meaning(text: str, status: int | None) -> Meaning:
    by_status = _BY_STATUS.get(status or 0, Meaning.OTHER)
    by_words = next((row.meaning for row in WORDINGS if row.pattern.search(text)), by_status)
    # "This address is not allowed" with a 403 is about no parameter.
    return by_status if (by_words, by_status) == (Meaning.UNSUPPORTED, Meaning.OPERATOR) else by_words


def _decoded(body: bytes) -> Any:
    """Decode JSON; anything else is a text, and so is JSON that was cut off."""
    try:
        return msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return _event_data(body) or body.decode("utf-8", "replace")[:_MAX_CHARS]


def _event_data(body: bytes) -> Any:
    """Decode the data of an event: some gateways send even a refusal's body as a stream."""
    try:
        event = next(EventStreamDecoder().feed(body + b"\n\n"), None)
        return msgspec.json.decode(event[0]) if event is not None else None
    except (ValueError, RecursionError, LineTooLong):
        return None


def _parts(said: Any, depth: int) -> Iterator[str | dict[str, Any]]:
    """Find the objects that carry codes, and the backend's words."""
    if depth == 0:
        return
    if isinstance(said, str):
        yield from _parts_of_text(said, depth)
    elif isinstance(said, list):
        for item in said[:_MAX_ITEMS]:
            yield from _parts(item, depth - 1)
    elif isinstance(said, dict):
        yield said
        yield from _parts_of_object(said, depth)


def _parts_of_object(said: dict[str, Any], depth: int) -> Iterator[str | dict[str, Any]]:
    if isinstance(said.get("loc"), list) and isinstance(said.get("msg"), str):
        # FastAPI's field error. Its `input` may be the prompt, and is left alone.
        yield f"{'.'.join(map(str, said['loc'][:_MAX_ITEMS]))}: {said['msg']}"
        return
    has_words = False
    for name in _WRAPPERS:
        if name not in said:
            continue
        parts = list(_parts(said[name], depth - 1))
        # What follows the first words repeats them. Its codes still count.
        yield from (part for part in parts if not has_words or isinstance(part, dict))
        has_words = has_words or any(isinstance(part, str) for part in parts)


def _parts_of_text(said: str, depth: int) -> Iterator[str | dict[str, Any]]:
    """Look for another gateway's JSON in a message; its words replace those around it."""
    start = min((at for at in (said.find("{"), said.find("[")) if at >= 0), default=len(said))
    try:
        inner, _ = json.JSONDecoder().raw_decode(said, start)
    except (ValueError, RecursionError):
        inner = None
    parts = list(_parts(inner, depth - 1)) if isinstance(inner, dict | list) else []
    if any(isinstance(part, str) for part in parts):
        yield from parts
    elif words := said.strip():
        yield words[:_MAX_CHARS]


def _codes_of(said: dict[str, Any]) -> Iterator[str]:
    for name in _CODES:
        value = said.get(name)
        if isinstance(value, str) and value.strip().lower() not in ("", "error"):
            yield value.strip()[:_MAX_CODE_CHARS]
