"""Headers that every answer has."""

from collections.abc import Mapping

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""For answers without a policy of their own: no type is guessed, nothing runs, and nothing is framed."""
