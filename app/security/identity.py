"""Who asks through `/v1`: the user that the credential, the proxy or the body names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import ValidationFailed
from app.models import Viewer
from app.names import is_new_name
from app.security.caller import Caller

_FIELDS = ("user", "safety_identifier")
"""The fields of a body that name its user; the first one that is set counts."""


@dataclass(frozen=True, slots=True)
class Identity:
    """The user of a request.

    Attributes:
        user_id: The user.
        scope: Which callers reach by its id what the request makes.
        is_named: Whether it is one user, to whom limits apply; a credential alone may be shared by many.
    """

    user_id: str
    scope: str
    is_named: bool


def scope_of(caller: Caller, trusted_user: str) -> str:
    """Return what keeps the turns of callers apart: the credential, and the user that a proxy names."""
    return (
        caller.scope if caller.user_id is not None or not trusted_user else f"{caller.scope}:{trusted_user}"
    )


def viewer_of(caller: Caller, trusted_user: str) -> Viewer:
    """Return the caller as one who asks for a turn by its id."""
    return Viewer(caller.user_id, scope_of(caller, trusted_user))


def identify(caller: Caller, trusted_user: str, body: Mapping[str, Any]) -> Identity:
    """Find the user of a request.

    A bound credential wins. Otherwise the header of a trusted proxy counts, then what the body says, then the
    credential itself.

    Raises:
        ValidationFailed: The name cannot be one of a user.
    """
    scope = scope_of(caller, trusted_user)
    if caller.user_id is not None:
        return Identity(caller.user_id, scope, is_named=True)
    named = trusted_user or next((body[field] for field in _FIELDS if body.get(field) is not None), None)
    if named is None:
        return Identity(caller.name, scope, is_named=False)
    if not is_new_name(named):
        raise ValidationFailed(
            "user: expected 1 to 128 visible characters, normalised (NFC), without / and outer spaces",
            param="user",
        )
    return Identity(named, scope, is_named=True)
