"""An issuer of tokens."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm

SECRET = "a secret of thirty-two bytes, or more"  # noqa: S105 - for tests only
KEYS_URL = "http://issuer.test/keys"


def claims(user_id: str, **changed: Any) -> dict[str, Any]:
    """Make the claims of a token that is valid now."""
    return {
        "sub": user_id,
        "aud": "chat",
        "iss": "https://issuer.test",
        "exp": int(time.time()) + 60,
        **{name: int(value) if isinstance(value, float) else value for name, value in changed.items()},
    }


def signed(payload: dict[str, Any], secret: str = SECRET, algorithm: str = "HS256") -> str:
    """Make a token that is signed with a shared secret."""
    return jwt.encode(payload, secret, algorithm=algorithm)


def unsigned(payload: dict[str, Any]) -> str:
    """Make a token whose header says that it is not signed."""
    head, body = (
        jwt.utils.base64url_encode(json.dumps(part).encode()) for part in ({"alg": "none"}, payload)
    )
    return b".".join((head, body, b"")).decode()


class Issuer:
    """An issuer that signs tokens and publishes its key."""

    def __init__(self) -> None:
        self.fetches = 0
        self.is_away = False
        self.rotate()

    def rotate(self) -> None:
        """Sign with a new key from now on."""
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.key_id = f"key-{id(self._key)}"

    def sign(self, payload: dict[str, Any]) -> str:
        """Make a token."""
        return jwt.encode(payload, self._key, algorithm="RS256", headers={"kid": self.key_id})

    def confuse(self, payload: dict[str, Any]) -> str:
        """Make a token that is signed with the public key, as if that were a shared secret."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        head, body = (
            jwt.utils.base64url_encode(json.dumps(part).encode())
            for part in ({"alg": "HS256", "typ": "JWT", "kid": self.key_id}, payload)
        )
        signature = HMACAlgorithm(HMACAlgorithm.SHA256).sign(head + b"." + body, public)
        return b".".join((head, body, jwt.utils.base64url_encode(signature))).decode()

    def key_set(self) -> dict[str, Any]:
        """Return the published key set."""
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": "RS256"}]}

    def http(self) -> httpx.AsyncClient:
        """Make a client that reaches the issuer."""

        def respond(request: httpx.Request) -> httpx.Response:
            assert request.url == KEYS_URL
            self.fetches += 1
            if self.is_away:
                raise httpx.ConnectError("away")
            return httpx.Response(200, json=self.key_set())

        return httpx.AsyncClient(transport=httpx.MockTransport(respond))

    @asynccontextmanager
    async def publishing(self) -> AsyncIterator[str]:
        """Publish the key set over a real socket, and yield its URL."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = json.dumps(self.key_set()).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
