"""The public keys of a token's issuer, fetched from its JSON Web Key Set (RFC 7517)."""

import asyncio
import time
from collections.abc import Callable, Mapping

import httpx
import jwt
import msgspec
import structlog

_DEADLINE_SECONDS = 3.0
_LIFETIME_SECONDS = 300.0
_PAUSE_SECONDS = 3.0
"""The shortest time between two fetches, so that tokens with unknown key ids cannot cause more."""
_MAX_BYTES = 256 * 1024
_MAX_KEYS = 100
_PUBLIC_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})

_log = structlog.get_logger()


class KeysUnavailable(Exception):
    """The key set has never been fetched and cannot be fetched now."""


class _KeySet(msgspec.Struct):
    keys: list[dict[str, object]]


class _Key(msgspec.Struct):
    kid: str
    kty: str
    use: str = ""
    alg: str = ""
    d: object = None
    """Present only in a private key, which does not belong in a published set."""


class IssuerKeys:
    """The issuer's last key set. It is fetched again when it is old, or when a key id is missing.

    If a fetch fails, the old set stays in use, so that an outage of the issuer locks no user out.
    """

    def __init__(
        self, http: httpx.AsyncClient, url: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember the address; fetch nothing yet.

        Args:
            http: The client to fetch with; the caller closes it.
            url: The URL of the key set.
            now: A clock, in seconds.
        """
        self._http = http
        self._url = url
        self._now = now
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Find the key with this id; None if the issuer has no such key.

        Raises:
            KeysUnavailable: No key set has ever been fetched.
        """
        is_known = key_id in self._keys
        # A known key stays in use while another request fetches the set again.
        if not is_known or (self._is_old() and not self._lock.locked()):
            async with self._lock:
                if self._is_due(
                    key_id
                ):  # checked again, because another request may have fetched the set meanwhile
                    await self._refresh()
        if self._fetched_at == float("-inf"):
            raise KeysUnavailable
        return self._keys.get(key_id)

    def _is_old(self) -> bool:
        return self._now() - self._fetched_at > _LIFETIME_SECONDS

    def _is_due(self, key_id: str) -> bool:
        is_wanted = key_id not in self._keys or self._is_old()
        return is_wanted and self._now() - self._tried_at > _PAUSE_SECONDS

    async def _refresh(self) -> None:
        self._tried_at = self._now()
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                self._keys = _public_keys(await self._fetch())
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as error:
            # The URL may hold a credential.
            _log.warning("issuer keys not fetched", reason=type(error).__name__)
        else:
            self._fetched_at = self._now()

    async def _fetch(self) -> bytes:
        async with self._http.stream("GET", self._url) as response:
            response.raise_for_status()
            body = b""
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MAX_BYTES:
                    raise ValueError("the key set is too large")
            return body


def _public_keys(body: bytes) -> dict[str, jwt.PyJWK]:
    """Select the keys that check signatures, except symmetric ones: their readers could sign with them."""
    found: dict[str, jwt.PyJWK] = {}
    for each in msgspec.json.decode(body, type=_KeySet).keys[:_MAX_KEYS]:
        try:
            key = msgspec.convert(each, _Key)
            if key.kty in _PUBLIC_KEY_TYPES and key.use != "enc" and key.d is None:
                found[key.kid] = jwt.PyJWK(each)
        # An entry that is not a usable key must not make the other keys unusable.
        except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
            continue
    if not found:
        raise ValueError("the key set has no key that can check a signature")
    return found
