"""Who may call what: every endpoint with every kind of credential."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import httpx
import pytest
from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend
from tests.support.sse import chat
from tests.support.store import stored_messages
from tests.support.tokens import Issuer, claims, unsigned

PLAIN = "plain-key-0123456789"
OWN = "own-key-0123456789"
OTHERS = "others-key-0123456789"
NOBODY = (401, "invalid_api_key")
NO_TURN = (404, "turn_not_found")
FORBIDDEN = (403, "forbidden")


@dataclass
class World:
    """The service with keys and tokens, and a turn of a user."""

    client: httpx.AsyncClient
    issuer: Issuer
    user: str
    turn_id: str

    async def ask(self, endpoint: str, authorization: str | None) -> httpx.Response:
        method, path = endpoint.split(" ")
        return await self.client.request(
            method,
            path.format(user=self.user, turn=self.turn_id),
            json={"user_id": self.user, "message": "Hi"} if method == "POST" else None,
            headers={} if authorization is None else {"Authorization": authorization},
        )


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """One for all rows: making a key takes longer than asking."""
    return Issuer()


@pytest.fixture
async def world(serve: Serve, user: str, issuer: Issuer) -> AsyncIterator[World]:
    keys = f"{PLAIN}, {OWN}={user}, {OTHERS}=somebody-else"
    async with (
        issuer.publishing() as url,
        serve(
            api_keys=keys, jwt_jwks_url=url, jwt_audience="chat", jwt_issuer="https://issuer.test"
        ) as client,
    ):
        client.headers["Authorization"] = f"Bearer {PLAIN}"
        events = await chat(client, user_id=user)
        del client.headers["Authorization"]
        yield World(client, issuer, user, events[0].id.rpartition("-")[0])


Credential = Callable[[World], str | None]

VALID: dict[str, Credential] = {
    "plain key": lambda _: f"Bearer {PLAIN}",
    "own key": lambda _: f"bearer {OWN}",
    "own token": lambda world: f"Bearer {world.issuer.sign(claims(world.user))}",
}
OTHER_USERS: dict[str, Credential] = {
    "other user's key": lambda _: f"Bearer {OTHERS}",
    "other user's token": lambda world: f"Bearer {world.issuer.sign(claims('somebody-else'))}",
}
INVALID: dict[str, Credential] = {
    "none": lambda _: None,
    "another scheme": lambda _: f"Basic {PLAIN}",
    "no scheme": lambda _: PLAIN,
    "wrong key": lambda _: "Bearer wrong-key-0123456789",
    "the whole setting": lambda world: f"Bearer {OWN}={world.user}",
    "expired token": lambda world: f"Bearer {world.issuer.sign(claims(world.user, exp=time.time() - 60))}",
    "wrong audience": lambda world: f"Bearer {world.issuer.sign(claims(world.user, aud='another'))}",
    "alg none": lambda world: f"Bearer {unsigned(claims(world.user))}",
    "HS/RS confusion": lambda world: f"Bearer {world.issuer.confuse(claims(world.user))}",
    "unknown issuer": lambda world: f"Bearer {Issuer().sign(claims(world.user))}",
}

NAMING_THE_USER = {
    "POST /chat": 200,
    "GET /users/{user}/conversations": 200,
    "GET /users/{user}/conversations/default": 200,
    "DELETE /users/{user}/conversations/default": 204,
    "DELETE /users/{user}": 204,
}
NAMING_A_TURN = {"GET /chat/{turn}": 200, "DELETE /chat/{turn}": 200}
OPEN = {
    "GET /health": 200,
    "GET /ready": 200,
    "GET /metrics": 200,
    "GET /docs": 200,
    "GET /openapi.json": 200,
}
UNKNOWN = {"GET /nothing": 404, "PUT /chat": 405}

ROWS = [
    *(
        pytest.param(endpoint, credential, (status, None), id=f"{endpoint} | {name}")
        for endpoint, status in {**NAMING_THE_USER, **NAMING_A_TURN}.items()
        for name, credential in VALID.items()
    ),
    *(
        pytest.param(endpoint, credential, FORBIDDEN, id=f"{endpoint} | {name}")
        for endpoint in NAMING_THE_USER
        for name, credential in OTHER_USERS.items()
    ),
    *(
        pytest.param(endpoint, credential, NO_TURN, id=f"{endpoint} | {name}")
        for endpoint in NAMING_A_TURN
        for name, credential in OTHER_USERS.items()
    ),
    *(
        pytest.param(endpoint, credential, NOBODY, id=f"{endpoint} | {name}")
        for endpoint in {**NAMING_THE_USER, **NAMING_A_TURN, **UNKNOWN}
        for name, credential in INVALID.items()
    ),
    *(
        pytest.param(endpoint, credential, (status, None), id=f"{endpoint} | {name}")
        for endpoint, status in OPEN.items()
        for name, credential in {**VALID, **OTHER_USERS, **INVALID}.items()
    ),
]


@pytest.mark.parametrize(("endpoint", "credential", "expected"), ROWS)
async def test_an_endpoint_answers_a_credential_as_the_contract_says(
    world: World, redis: Redis, endpoint: str, credential: Credential, expected: tuple[int, str | None]
) -> None:
    status, code = expected
    before = await stored_messages(redis, world.user)
    response = await world.ask(endpoint, credential(world))
    assert response.status_code == status, response.text
    if code is not None:
        error = response.json()["error"]
        assert error["code"] == code
        assert world.user not in response.text
        assert await stored_messages(redis, world.user) == before
    if status == 401:
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_anothers_turn_is_told_as_one_that_never_was(world: World, method: str) -> None:
    headers = {"Authorization": f"Bearer {OTHERS}"}
    unknown = "0" * 32
    anothers = await world.client.request(method, f"/chat/{world.turn_id}", headers=headers)
    never = await world.client.request(method, f"/chat/{unknown}", headers=headers)
    assert told(anothers, world.turn_id) == told(never, unknown)


def told(response: httpx.Response, turn_id: str) -> tuple[int, str]:
    request_id = response.headers["x-request-id"]
    return response.status_code, response.text.replace(turn_id, "turn").replace(request_id, "request")


async def test_the_credential_is_looked_at_before_the_body_and_the_user_after_it(world: World) -> None:
    junk = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    assert (await world.client.post("/chat", **junk)).status_code == 401  # type: ignore[arg-type]  # httpx's kwargs
    junk["headers"] = {**junk["headers"], "Authorization": f"Bearer {OTHERS}"}  # type: ignore[dict-item]
    assert (await world.client.post("/chat", **junk)).status_code == 400  # type: ignore[arg-type]


async def test_two_credentials_are_none(world: World) -> None:
    headers = [("Authorization", f"Bearer {PLAIN}"), ("Authorization", f"Bearer {OWN}")]
    response = await world.client.get(f"/users/{world.user}/conversations", headers=headers)
    assert response.status_code == 401


async def test_metrics_and_docs_can_be_closed(serve: Serve) -> None:
    paths = ("/metrics", "/docs", "/openapi.json")
    async with serve(api_keys=PLAIN, metrics_need_key=True, docs_need_key=True) as client:
        assert [(await client.get(path)).status_code for path in paths] == [401] * 3
        client.headers["Authorization"] = f"Bearer {PLAIN}"
        assert [(await client.get(path)).status_code for path in paths] == [200] * 3


async def test_where_the_issuers_keys_cannot_be_fetched_a_token_may_be_tried_again(
    serve: Serve, user: str, issuer: Issuer
) -> None:
    async with serve(jwt_jwks_url="http://127.0.0.1:1/keys", api_keys=PLAIN) as client:
        path = f"/users/{user}/conversations"
        refused = await client.get(path, headers={"Authorization": f"Bearer {issuer.sign(claims(user))}"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "upstream_unavailable")
        assert refused.headers["retry-after"]
        assert (await client.get(path, headers={"Authorization": f"Bearer {PLAIN}"})).status_code == 200


async def test_a_page_of_an_allowed_origin_may_call_and_no_other(serve: Serve, backend: Backend) -> None:
    assert backend.url
    ask = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-stainless-lang",
    }
    async with serve(cors_origins="https://app.test", api_keys=PLAIN) as client:
        allowed = await client.options("/chat", headers={"Origin": "https://app.test", **ask})
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://app.test"
        other = await client.options("/chat", headers={"Origin": "https://other.test", **ask})
        assert "access-control-allow-origin" not in other.headers
        # An error is told to the page as well, with what it may read of it.
        refused = await client.post("/chat", headers={"Origin": "https://app.test"})
        assert refused.status_code == 401
        assert "X-Turn-Id" in refused.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:8000", "127.0.0.1", "[::1]:8000", "10.1.2.3:80", "chat.test", "Chat.Test:1"],
)
async def test_an_open_service_answers_to_its_own_names(serve: Serve, host: str) -> None:
    async with serve(allowed_hosts="chat.test") as client:
        assert (await client.get("/users/u/conversations", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.1"]
)
@pytest.mark.parametrize(
    "path", ["/", "/chat/x", "/users/u/conversations", "/docs", "/openapi.json", "/none"]
)
async def test_an_open_service_answers_to_no_other_name(serve: Serve, host: str, path: str) -> None:
    """A web page may point its name at this machine."""
    async with serve() as client:
        refused = await client.get(path, headers={"Host": host})
        assert (refused.status_code, refused.json()["error"]["code"]) == (421, "misdirected_request")
        for probe in ("/health", "/ready?checks=none", "/metrics"):
            assert (await client.get(probe, headers={"Host": host})).status_code == 200


async def test_with_keys_every_name_is_answered(serve: Serve) -> None:
    async with serve(api_keys=PLAIN) as client:
        headers = {"Host": "evil.example", "Authorization": f"Bearer {PLAIN}"}
        assert (await client.get("/users/u/conversations", headers=headers)).status_code == 200


SAME_ORIGIN = [
    {},
    {"Origin": "http://chat.test:81", "Host": "chat.test:81"},
    {"Origin": "https://chat.test", "Host": "chat.test"},
    {"Origin": "https://chat.test", "Host": "chat.test:443"},
    {"Origin": "https://chat.test", "Host": "127.0.0.1:9", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://app.test"},
    {"Origin": "https://app.test", "Sec-Fetch-Site": "cross-site"},
]
FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://[", "Host": "chat.test"},
    {"Origin": "http://chat.test:82", "Host": "chat.test:81"},
    {"Origin": "http://chat.test.evil.example", "Host": "chat.test"},
    {"Origin": "https://chat.test", "Host": "chat.test", "Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize(
    ("headers", "status"), [*((each, 204) for each in SAME_ORIGIN), *((each, 403) for each in FOREIGN)]
)
async def test_a_page_of_a_foreign_origin_may_not_write(
    serve: Serve, user: str, headers: dict[str, str], status: int
) -> None:
    async with serve(cors_origins="https://app.test", allowed_hosts="chat.test") as client:
        response = await client.delete(f"/users/{user}", headers=headers)
        assert response.status_code == status
        if status == 403:
            assert response.json()["error"]["code"] == "forbidden"
        # To read is left to the browser, which shows a page nothing that it may not see.
        read = await client.get(f"/users/{user}/conversations", headers=headers)
        assert read.status_code == 200


async def test_refusals_and_erasures_are_logged_without_what_was_sent(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    await world.ask("GET /users/{user}/conversations", "Bearer wrong-key-0123456789")
    await world.ask("GET /users/{user}/conversations", f"Bearer {OTHERS}")
    await world.ask("DELETE /users/{user}/conversations/default", f"Bearer {PLAIN}")
    await world.ask("DELETE /users/{user}", f"Bearer {PLAIN}")
    logged = capsys.readouterr().out
    for code in ("invalid_api_key", "forbidden"):
        assert any("request refused" in line and f"code={code}" in line for line in logged.splitlines())
    assert any("conversation erased" in line and world.user in line for line in logged.splitlines())
    assert any("user erased" in line and world.user in line for line in logged.splitlines())
    assert "wrong-key" not in logged
    assert OTHERS not in logged


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/health", "/openapi.json", "/nothing", "/chat", "/docs/start.js"]
)
async def test_every_answer_is_typed_and_in_no_frame(serve: Serve, path: str) -> None:
    async with serve() as client:
        response = await client.get(path)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
