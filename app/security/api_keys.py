"""API keys, plain or bound to a user."""

import hmac
from collections.abc import Mapping
from hashlib import sha256

from app.security.caller import Caller


class ApiKeys:
    """The API keys; only their digests are stored."""

    def __init__(self, users: Mapping[str, str | None]) -> None:
        """Store the digests of the keys.

        Args:
            users: The user that each key is bound to; None if it is bound to none.
        """
        self._callers = [(_digest(key), _caller(key, user_id)) for key, user_id in users.items()]

    def find(self, key: str) -> Caller | None:
        """Find the caller who holds this key; None if no key matches.

        Every key is compared, each in constant time, so that the duration reveals nothing.
        """
        given = _digest(key)
        found = None
        for digest, caller in self._callers:
            if hmac.compare_digest(given, digest):
                found = caller
        return found


def _caller(key: str, user_id: str | None) -> Caller:
    return Caller(user_id) if user_id is not None else Caller(key=f"key:{_digest(key).hex()[:32]}")


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", "surrogateescape")).digest()
