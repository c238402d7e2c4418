"""Token counts as they are stored: a backend may send, and an older release may have stored, anything."""

from itertools import islice
from typing import Any

MAX_COUNT = 2**53
"""The greatest whole number that every JSON parser reads as it is."""

_MAX_FIELDS = 64
_MAX_NAME_CHARS = 64
_MAX_TEXT_CHARS = 256


def sanitised_usage(usage: object) -> dict[str, Any] | None:
    """Keep whole numbers, short strings and one level of details; None if nothing is left."""
    return _fields(usage, has_details=True) if isinstance(usage, dict) else None


def _fields(fields: dict[Any, Any], *, has_details: bool) -> dict[str, Any] | None:
    kept: dict[str, Any] = {}
    for name, value in islice(fields.items(), _MAX_FIELDS):
        if not _is_text(name, _MAX_NAME_CHARS):
            continue
        field: Any = _count(value)
        if _is_text(value, _MAX_TEXT_CHARS):
            field = value
        elif has_details and isinstance(value, dict):
            field = _fields(value, has_details=False)
        if field is not None:
            kept[name] = field
    return kept or None


def _count(value: object) -> int | None:
    """Return a whole number from 0 to `MAX_COUNT`. In Python True is an int, and in JSON 12.0 is 12."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_COUNT else None


def _is_text(value: object, max_chars: int) -> bool:
    """Tell whether it is a bounded string, without half a surrogate pair: UTF-8 has no bytes for one."""
    if not isinstance(value, str) or len(value) > max_chars:
        return False
    return value.isascii() or value.encode("utf-8", "ignore").decode() == value
