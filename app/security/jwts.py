"""Bearer JWTs (RFC 7519): checks of the signature, the claims and the lifetime."""

from collections.abc import Sequence
from typing import Any, Protocol

import jwt

from app.names import is_name
from app.security.caller import Caller
from app.security.jwks import IssuerKeys

_LEEWAY_SECONDS = 10
_MAX_TOKEN_CHARS = 8192


class _Keys(Protocol):
    algorithms: Sequence[str]
    """Pinned: a token does not choose how it is checked (RFC 8725, 3.1)."""

    async def key_for(self, header: dict[str, Any]) -> Any:
        """Find the key to check a token with this header; None if there is none."""


class SharedSecret:
    """A secret that the issuer and the service share."""

    algorithms: Sequence[str] = ("HS256",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def key_for(self, header: dict[str, Any]) -> Any:  # noqa: ARG002 - there is only one
        """Return the secret."""
        return self._secret


class PublicKeys:
    """The issuer's public keys."""

    algorithms: Sequence[str] = (
        *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
        *("ES256", "ES384", "ES512", "EdDSA"),
    )

    def __init__(self, keys: IssuerKeys) -> None:
        self._keys = keys

    async def key_for(self, header: dict[str, Any]) -> Any:
        """Find the key that the header names."""
        key_id = header.get("kid")
        return await self._keys.find(key_id) if isinstance(key_id, str) else None


class TokenVerifier:
    """The check of bearer tokens."""

    def __init__(self, keys: _Keys, *, audience: str | None, issuer: str | None) -> None:
        """Check tokens with these keys.

        Args:
            keys: The source of the keys.
            audience: The required `aud` claim; None: any.
            issuer: The required `iss` claim; None: any.
        """
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    async def find(self, token: str) -> Caller | None:
        """Find the caller that the token names; None if the token is not valid.

        Raises:
            KeysUnavailable: The issuer's keys have never been fetched.
        """
        if len(token) > _MAX_TOKEN_CHARS:
            return None
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in self._keys.algorithms:
                return None
            key = await self._keys.key_for(header)
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=list(self._keys.algorithms),
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["sub"], "verify_aud": self._audience is not None},
            )
        # On hostile headers and keys, PyJWT does not catch the errors of its parsers.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        return Caller(claims["sub"]) if is_name(claims["sub"]) else None
