"""A backend that refuses, behind the service as a process: what the client sees, and what the log says."""

import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, Script, running_backend, says
from tests.support.certificate import own_certificate
from tests.support.chunks import chunk, event
from tests.support.process import started
from tests.support.sse import events
from tests.support.store import stored_messages

KEY = "sk-canary-0123456789"
QUESTION = "canary question of a user"


def refuses(status: int, said: Any) -> Script:
    async def script(exchange: Exchange) -> None:
        await exchange.json(status, said)

    return script


def openai(message: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.mark.timeout(120)
async def test_what_the_operator_has_to_mend_is_told_to_client_and_log(
    tmp_path: Path, backend: Backend, valkey_url: str, user: str
) -> None:
    cases = {
        "a wrong model name": (
            404,
            openai('model "x" not found, try pulling it first', type="not_found_error"),
        ),
        "a wrong key": (
            401,
            openai(
                f"Incorrect API key provided: {KEY}. See https://backend.test/keys.", code="invalid_api_key"
            ),
        ),
        "an empty account": (
            429,
            openai(f"You exceeded your current quota with '{QUESTION}'", code="insufficient_quota"),
        ),
    }
    async with started(
        tmp_path, llm_base_url=backend.url, llm_model="x", llm_api_key=KEY, redis_url=valkey_url
    ) as (service, client):
        for status, said in cases.values():
            backend.script = refuses(status, said)
            response = await client.post("/chat", json={"user_id": user, "message": QUESTION})
            line = await service.logged("backend refused a request")
            assert response.status_code == 502
            assert line["level"] == "warning"
            assert (line["status"], line["code"]) == (
                status,
                said["error"].get("code") or said["error"]["type"],
            )
            assert line["reason"] in response.json()["error"]["message"]
            for hidden in (KEY, QUESTION, "backend.test", "127.0.0.1"):
                assert hidden not in response.text
                assert hidden not in json.dumps(line)


@pytest.mark.timeout(120)
async def test_an_untrusted_certificate_names_the_setting_that_mends_it(
    tmp_path: Path, valkey_url: str, user: str
) -> None:
    tls, certificate = own_certificate(tmp_path)
    async with running_backend(tls) as backend:
        settings = {"llm_base_url": backend.url, "llm_model": "m", "redis_url": valkey_url}
        async with started(tmp_path, **settings) as (service, client):
            ready = await client.get("/ready")
            response = await client.post("/chat", json={"user_id": user, "message": QUESTION})
            line = await service.logged("request failed")
        assert "SSL_CERT_FILE" in ready.json()["checks"]["llm"]["detail"]
        assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_unavailable")
        assert "SSL_CERT_FILE" in response.json()["error"]["message"]
        assert "SSL_CERT_FILE" in line["reason"]
        assert "Timeout" not in line["cause"]
        async with started(tmp_path, **settings, ssl_cert_file=certificate) as (_, client):
            assert (await client.get("/ready")).status_code == 200
            response = await client.post("/chat", json={"user_id": user, "message": QUESTION})
            assert response.text.endswith("data: [DONE]\n\n")


async def test_a_backend_url_with_a_query_keeps_it_behind_every_path(
    serve: Serve, backend: Backend, user: str
) -> None:
    url = backend.url.removesuffix("/v1") + "/openai/deployments/y/?api-version=2024-10-21&x=b"
    async with serve(llm_base_url=url) as client:
        response = await client.post("/chat", json={"user_id": user, "message": QUESTION})
        assert response.text.endswith("data: [DONE]\n\n")
        assert (await client.get("/ready")).status_code == 200
    path = "/openai/deployments/y/chat/completions?api-version=2024-10-21&x=b"
    assert [exchange.path for exchange in backend.completions] == [path]
    assert all(asked.endswith("?api-version=2024-10-21&x=b") for asked in backend.looked_up)
    assert "/openai/deployments/y/models?api-version=2024-10-21&x=b" in backend.looked_up


@pytest.mark.parametrize(
    ("status", "is_ready"), [(404, True), (405, True), (401, True), (500, False), (503, False)]
)
async def test_a_backend_without_a_list_of_models_is_ready(
    serve: Serve, backend: Backend, status: int, *, is_ready: bool
) -> None:
    backend.models_status = status
    async with serve() as client:
        ready = await client.get("/ready")
    assert (ready.status_code == 200) is is_ready


async def test_a_conversation_that_the_filter_refuses_goes_on_without_its_history(
    serve: Serve, backend: Backend, user: str, redis: Redis
) -> None:
    async def script(exchange: Exchange) -> None:
        if "forbidden" in json.dumps(exchange.body["messages"][:-1]):
            await exchange.json(400, openai("Content Exists Risk", type="invalid_request_error"))
        else:
            await says("forbidden half")(exchange)

    backend.script = script
    async with serve() as client:
        for message in ("One", "Two"):
            response = await client.post("/chat", json={"user_id": user, "message": message})
            assert response.text.endswith("data: [DONE]\n\n")
    assert [len(exchange.body["messages"]) for exchange in backend.completions] == [2, 4, 2]
    assert response.headers["x-history-trimmed"] == "2"
    assert len(await stored_messages(redis, user)) == 4


async def test_a_question_that_the_filter_refuses_is_asked_once(
    serve: Serve, backend: Backend, user: str, redis: Redis
) -> None:
    backend.script = refuses(400, openai("Content Exists Risk"))
    async with serve() as client:
        response = await client.post("/chat", json={"user_id": user, "message": "One"})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "upstream_rejected")
    assert "Content Exists Risk" in response.json()["error"]["message"]
    assert len(backend.completions) == 1
    assert await redis.keys(f"chat:{{{user}}}*") == []


@pytest.mark.parametrize(
    "refusal",
    [
        refuses(400, [openai("The input token count (9) exceeds the maximum number of tokens allowed (8).")]),
        refuses(
            413,
            openai("Request too large for model x on tokens per minute (TPM): Limit 6000, Requested 7214"),
        ),
        refuses(413, {"type": "error", "error": {"type": "request_too_large"}}),
        refuses(200, openai("the input length exceeds the context length")),
        refuses(500, openai("Context size has been exceeded.")),
    ],
)
async def test_a_conversation_that_is_too_long_goes_on_with_less_of_it_whatever_the_shape(
    serve: Serve, backend: Backend, user: str, refusal: Script
) -> None:
    async with serve() as client:
        await client.post("/chat", json={"user_id": user, "message": "One"})

        async def script(exchange: Exchange) -> None:
            await (refusal if len(exchange.body["messages"]) > 3 else says("Yes"))(exchange)

        backend.script = script
        response = await client.post("/chat", json={"user_id": user, "message": "Two"})
    assert response.text.endswith("data: [DONE]\n\n")
    assert "Yes" in response.text


async def test_an_overflow_that_is_told_inside_the_stream_is_one_like_any_other(
    serve: Serve, backend: Backend, user: str
) -> None:
    words = "The number of tokens to keep is greater than the context length (n_keep: 5000>= n_ctx: 4096)."
    async with serve() as client:
        await client.post("/chat", json={"user_id": user, "message": "One"})

        async def script(exchange: Exchange) -> None:
            if len(exchange.body["messages"]) > 3:
                await exchange.head()
                await exchange.send(b"event: error\n", event(openai(words)))
            else:
                await says("Yes")(exchange)

        backend.script = script
        response = await client.post("/chat", json={"user_id": user, "message": "Two"})
    assert "Yes" in response.text
    assert response.text.endswith("data: [DONE]\n\n")


async def test_an_error_in_mid_answer_is_told_in_the_backends_words(
    serve: Serve, backend: Backend, user: str
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        failure = openai(f"The server had an error while processing '{QUESTION}' at http://10.0.0.7/x")
        await exchange.send(event(chunk("Hel")), event(failure))

    backend.script = script
    async with (
        serve() as client,
        client.stream("POST", "/chat", json={"user_id": user, "message": QUESTION}) as response,
    ):
        last = [each async for each in events(response)][-1]
    assert last.json["error"]["code"] == "upstream_error"
    assert last.json["error"]["message"] == (
        "The model's backend failed: The server had an error while processing … at …"
    )
