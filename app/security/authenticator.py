"""The step from a request's Authorization header to its caller."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx

from app.errors import InvalidApiKey, UpstreamUnavailable
from app.security.api_keys import ApiKeys
from app.security.caller import UNRESTRICTED, Caller
from app.security.jwks import IssuerKeys, KeysUnavailable
from app.security.jwts import PublicKeys, SharedSecret, TokenVerifier
from app.settings import Settings


class Authenticator:
    """The authentication of requests. Without configured keys and tokens, it lets every request pass."""

    def __init__(self, *, api_keys: ApiKeys | None, tokens: TokenVerifier | None) -> None:
        self._api_keys = api_keys
        self._tokens = tokens

    async def caller(self, authorization: Sequence[str]) -> Caller:
        """Find the caller of a request.

        Args:
            authorization: The values of the request's Authorization headers.

        Raises:
            InvalidApiKey: There is no credential, or a wrong one.
            UpstreamUnavailable: The keys of the tokens' issuer cannot be fetched.
        """
        if self._api_keys is None and self._tokens is None:
            return UNRESTRICTED
        credential = _bearer(authorization)
        found = self._api_keys.find(credential) if self._api_keys is not None else None
        if found is None and self._tokens is not None:
            try:
                found = await self._tokens.find(credential)
            except KeysUnavailable:
                raise UpstreamUnavailable("The keys of the tokens' issuer cannot be fetched.") from None
        if found is None:
            raise InvalidApiKey
        return found


def _bearer(authorization: Sequence[str]) -> str:
    """Return the credential, as RFC 6750, 2.1 defines it."""
    if len(authorization) == 1:
        scheme, _, credential = authorization[0].partition(" ")
        if scheme.lower() == "bearer" and credential.strip():
            return credential.strip()
    raise InvalidApiKey


@asynccontextmanager
async def open_authenticator(settings: Settings) -> AsyncIterator[Authenticator]:
    """Open the authenticator that the settings describe."""
    async with _token_keys(settings) as keys:
        tokens = (
            TokenVerifier(keys, audience=settings.jwt_audience or None, issuer=settings.jwt_issuer or None)
            if keys is not None
            else None
        )
        yield Authenticator(
            api_keys=ApiKeys(settings.users_by_key) if settings.api_keys else None, tokens=tokens
        )


@asynccontextmanager
async def _token_keys(settings: Settings) -> AsyncIterator[SharedSecret | PublicKeys | None]:
    if settings.jwt_jwks_url:
        async with httpx.AsyncClient(trust_env=False) as http:
            yield PublicKeys(IssuerKeys(http, settings.jwt_jwks_url))
    else:
        secret = settings.jwt_secret.get_secret_value()
        yield SharedSecret(secret) if secret else None
