"""Headers that every answer has, and those of a request."""

from collections.abc import Mapping
from typing import cast

from starlette.types import Scope

SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""For answers without a policy of their own: no type is guessed, nothing runs, and nothing is framed."""


def headers_of(scope: Scope) -> Mapping[str, str]:
    """Return a request's headers by their names in lower case; of several with one name the first.

    They are decoded once: Starlette's own look-up walks through all of them each time.
    """
    state = scope.setdefault("state", {})
    if "headers" not in state:
        state["headers"] = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])
        }
    return cast(Mapping[str, str], state["headers"])
