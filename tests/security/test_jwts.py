"""Bearer JWTs: whose they are, and what makes them invalid."""

import asyncio
import time
from typing import Any

import httpx
import pytest
import respx

from app.security.caller import Caller
from app.security.jwks import IssuerKeys, KeysUnavailable
from app.security.jwts import PublicKeys, SharedSecret, TokenVerifier
from tests.support.tokens import KEYS_URL, SECRET, Issuer, claims, signed, unsigned


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


def by_secret() -> TokenVerifier:
    return TokenVerifier(SharedSecret(SECRET), audience="chat", issuer="https://issuer.test")


async def test_the_subject_of_a_valid_token_is_the_user() -> None:
    assert await by_secret().find(signed(claims("alice"))) == Caller("alice")


@pytest.mark.parametrize(
    "payload",
    [
        claims("alice", exp=time.time() - 60),
        claims("alice", nbf=time.time() + 3600),
        claims("alice", aud="another"),
        claims("alice", iss="https://another.test"),
        {name: value for name, value in claims("alice").items() if name != "aud"},
        {name: value for name, value in claims("alice").items() if name != "sub"},
        claims(""),
        claims("a/b"),
        claims("x" * 129),
    ],
    ids=["expired", "not yet", "audience", "issuer", "no audience", "no subject", "empty", "slash", "long"],
)
async def test_a_token_that_is_not_for_here_or_now_is_not_valid(payload: dict[str, Any]) -> None:
    assert await by_secret().find(signed(payload)) is None


async def test_a_token_may_be_a_little_late() -> None:
    assert await by_secret().find(signed(claims("alice", exp=time.time() - 5))) == Caller("alice")


async def test_where_no_audience_is_asked_for_any_will_do() -> None:
    verifier = TokenVerifier(SharedSecret(SECRET), audience=None, issuer=None)
    assert await verifier.find(signed(claims("alice", aud="another"))) == Caller("alice")


@pytest.mark.parametrize(
    "token",
    [
        unsigned(claims("alice")),
        signed(claims("alice"), "another secret of thirty-two bytes"),
        signed(claims("alice"), SECRET * 2, "HS512"),
        "",
        "a.b.c",
        "x" * 10_000,
        "\udcff.\udcff.\udcff",
    ],
    ids=["none", "other secret", "other algorithm", "empty", "junk", "long", "surrogates"],
)
async def test_what_is_not_signed_as_agreed_is_not_valid(token: str) -> None:
    assert await by_secret().find(token) is None


async def test_a_token_signed_by_the_issuers_key_is_valid(issuer: Issuer) -> None:
    async with issuer.http() as http:
        verifier = TokenVerifier(PublicKeys(IssuerKeys(http, KEYS_URL)), audience="chat", issuer=None)
        assert await verifier.find(issuer.sign(claims("alice"))) == Caller("alice")


async def test_the_public_key_is_no_shared_secret(issuer: Issuer) -> None:
    async with issuer.http() as http:
        verifier = TokenVerifier(PublicKeys(IssuerKeys(http, KEYS_URL)), audience="chat", issuer=None)
        assert await verifier.find(issuer.confuse(claims("alice"))) is None
        assert await verifier.find(unsigned(claims("alice"))) is None


async def test_a_new_key_is_fetched_when_a_token_names_it(issuer: Issuer) -> None:
    clock = Clock()
    async with issuer.http() as http:
        keys = IssuerKeys(http, KEYS_URL, now=clock)
        verifier = TokenVerifier(PublicKeys(keys), audience="chat", issuer=None)
        assert await verifier.find(issuer.sign(claims("alice"))) == Caller("alice")
        issuer.rotate()
        clock.seconds += 11
        assert await verifier.find(issuer.sign(claims("alice"))) == Caller("alice")


async def test_unknown_keys_cause_few_fetches(issuer: Issuer) -> None:
    async with issuer.http() as http:
        keys = IssuerKeys(http, KEYS_URL)
        for n in range(20):
            assert await keys.find(f"unknown-{n}") is None
    assert issuer.fetches == 1


async def test_known_keys_stay_in_use_while_the_issuer_is_away(issuer: Issuer) -> None:
    clock = Clock()
    async with issuer.http() as http:
        keys = IssuerKeys(http, KEYS_URL, now=clock)
        assert await keys.find(issuer.key_id) is not None
        issuer.is_away = True
        clock.seconds += 3600
        assert await keys.find(issuer.key_id) is not None
    assert issuer.fetches == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(302, headers={"Location": "http://elsewhere.test/"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json={"keys": "none"}),
        httpx.Response(200, content=b" " * 300_000),
        httpx.Response(200, content=b"[" * 5_000),
        httpx.Response(200, json={"keys": []}),
    ],
    ids=["500", "redirect", "html", "no list", "large", "deep", "empty"],
)
async def test_what_is_no_key_set_leaves_the_question_open(answer: httpx.Response) -> None:
    router = respx.MockRouter()
    router.get(KEYS_URL).mock(return_value=answer)
    async with httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler)) as http:
        with pytest.raises(KeysUnavailable):
            await IssuerKeys(http, KEYS_URL).find("any")


async def test_requests_that_come_during_a_fetch_wait_for_it(issuer: Issuer) -> None:
    async with issuer.http() as http:
        keys = IssuerKeys(http, KEYS_URL)
        found = await asyncio.gather(*(keys.find(issuer.key_id) for _ in range(10)))
    assert all(found)
    assert issuer.fetches == 1


async def test_what_is_no_key_for_here_takes_no_other_with_it(issuer: Issuer) -> None:
    good = issuer.key_set()["keys"][0]
    odd: list[dict[str, Any]] = [
        {"kty": "oct", "kid": "symmetric", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "EC", "kid": "encryption", "use": "enc"},
        {"kty": "EC", "kid": "none", "alg": "none", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": ["RSA"], "kid": "list"},
        {**good, "kid": "algorithms", "alg": ["RS256"]},
        {**good, "kid": "private", "d": "AQAB"},
        {"kty": "RSA"},
    ]
    router = respx.MockRouter()
    router.get(KEYS_URL).respond(200, json={"keys": [*odd, good]})
    async with httpx.AsyncClient(transport=httpx.MockTransport(router.async_handler)) as http:
        keys = IssuerKeys(http, KEYS_URL)
        assert [await keys.find(str(key.get("kid"))) for key in odd] == [None] * len(odd)
        verifier = TokenVerifier(PublicKeys(keys), audience="chat", issuer=None)
        assert await verifier.find(issuer.sign(claims("alice"))) == Caller("alice")


class Clock:
    """Stands still unless it is put forward."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds
