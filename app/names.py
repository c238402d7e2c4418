"""What a user or a conversation may be called."""

import unicodedata
from collections.abc import Callable

MAX_NAME_CHARS = 128

_INVISIBLE = frozenset({"Cf", "Zl", "Zp"})


def check_name(value: str) -> str:
    """Return a name under which messages may be stored.

    A new name is normalised and has nothing invisible in it: two names that look the same are the same.

    Raises:
        ValueError: It could stand for another name, or could not stand in a path.
    """
    if value != value.strip():
        raise ValueError("expected no space at the beginning or the end")
    if any(unicodedata.category(char) in _INVISIBLE for char in value):
        raise ValueError("expected no invisible characters")
    if not unicodedata.is_normalized("NFC", value):
        raise ValueError("expected Unicode's normalisation form C")
    return check_existing_name(value)


def check_existing_name(value: str) -> str:
    """Return a name under which messages may have been stored by an earlier release.

    Raises:
        ValueError: It has control characters or a slash, or is `.` or `..`.
    """
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in value):
        raise ValueError("expected no control characters")
    if "/" in value or value in {".", ".."}:
        raise ValueError("expected no '/', and neither '.' nor '..'")
    return value


def is_name(value: object) -> bool:
    """Tell whether a user or a conversation may have had this name in an earlier release."""
    return _passes(value, check_existing_name)


def is_new_name(value: object) -> bool:
    """Tell whether it may be the name of a user or a conversation."""
    return _passes(value, check_name)


def _passes(value: object, check: Callable[[str], str]) -> bool:
    try:
        return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and bool(check(value))
    except ValueError:
        return False
