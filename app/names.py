"""What a user or a conversation may be called."""

import unicodedata

MAX_NAME_CHARS = 128


def check_name(value: str) -> str:
    """Give a name back that may stand in a path.

    Raises:
        ValueError: It has control characters or a slash, or is `.` or `..`.
    """
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in value):
        raise ValueError("expected no control characters")
    if "/" in value or value in {".", ".."}:
        raise ValueError("expected no '/', and neither '.' nor '..'")
    return value


def is_name(value: object) -> bool:
    """Whether it is the name of a user or a conversation."""
    try:
        return isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and bool(check_name(value))
    except ValueError:
        return False
