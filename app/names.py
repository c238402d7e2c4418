"""What a user or a conversation may be called."""

import unicodedata

MAX_NAME_CHARS = 128

_INVISIBLE = frozenset({"Cf", "Zl", "Zp"})


def check_name(value: str) -> str:
    """Return a name under which messages may be stored.

    Two names that look the same are the same: so a new name is normalised, and has nothing invisible in it.

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
    """Whether it may be the name of a user or a conversation."""
    try:
        return (
            isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and bool(check_existing_name(value))
        )
    except ValueError:
        return False
