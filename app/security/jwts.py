"""Bearer JWTs (RFC 7519): who has signed them, for whom, and until when."""

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
        """What a token with this header is checked with; None: nothing."""


class SharedSecret:
    """One secret, which the issuer and the service share."""

    algorithms: Sequence[str] = ("HS256",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def key_for(self, header: dict[str, Any]) -> Any:  # noqa: ARG002 - there is but one
        """The secret."""
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
        """The one that the header names."""
        key_id = header.get("kid")
        return await self._keys.find(key_id) if isinstance(key_id, str) else None


class TokenVerifier:
    """Tells whose token it is."""

    def __init__(self, keys: _Keys, *, audience: str | None, issuer: str | None) -> None:
        """Check tokens with these keys.

        Args:
            keys: Where they come from.
            audience: That a token has to be for; None: whichever.
            issuer: That it has to be from; None: whichever.
        """
        self._keys = keys
        self._audience = audience
        self._issuer = issuer

    async def find(self, token: str) -> Caller | None:
        """The user that the token is for; None: it is not valid.

        Raises:
            KeysUnavailable: It cannot be told now.
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
        # PyJWT lets through what its parsers raise on hostile headers and keys.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        return Caller(claims["sub"], claims["sub"], scope="user") if is_name(claims["sub"]) else None
