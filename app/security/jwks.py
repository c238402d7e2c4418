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
"""Between two fetches: whoever sends tokens with unknown key ids causes no more of them."""
_MAX_BYTES = 256 * 1024
_MAX_KEYS = 100
_PUBLIC_KEY_TYPES = frozenset({"RSA", "EC", "OKP"})

_log = structlog.get_logger()


class KeysUnavailable(Exception):
    """The key set has never been fetched, and cannot be now."""


class _KeySet(msgspec.Struct):
    keys: list[dict[str, object]]


class _Key(msgspec.Struct):
    kid: str
    kty: str
    use: str = ""
    alg: str = ""
    d: object = None
    """Of a private key, which has no place in a published set."""


class IssuerKeys:
    """Keeps the last key set. It is fetched again after a while, and where a key id is not in it.

    A set that cannot be fetched anew stays in use: an issuer that is away for a while locks nobody out.
    """

    def __init__(
        self, http: httpx.AsyncClient, url: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Fetch nothing yet.

        Args:
            http: A client that somebody else closes.
            url: Of the key set.
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
        """The key of this id; None: the issuer has none.

        Raises:
            KeysUnavailable: It cannot be told.
        """
        is_known = key_id in self._keys
        # A key that is known serves on while another request fetches the set anew.
        if not is_known or (self._is_old() and not self._lock.locked()):
            async with self._lock:
                if self._is_due(key_id):  # still, after waiting for another request's fetch
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
            _log.warning("the issuer's keys cannot be fetched", reason=type(error).__name__)
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
    """The keys that can check signatures; a symmetric one would let everybody sign who can read it."""
    found: dict[str, jwt.PyJWK] = {}
    for each in msgspec.json.decode(body, type=_KeySet).keys[:_MAX_KEYS]:
        try:
            key = msgspec.convert(each, _Key)
            if key.kty in _PUBLIC_KEY_TYPES and key.use != "enc" and key.d is None:
                found[key.kid] = jwt.PyJWK(each)
        # One entry that is no key for here, whatever its shape, takes no other with it.
        except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
            continue
    if not found:
        raise ValueError("the key set has no key that can check a signature")
    return found
