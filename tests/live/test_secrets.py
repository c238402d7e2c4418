"""Unique texts and secrets through every path: none is in a log, a span or a metric."""

import json
from pathlib import Path

import httpx
import pytest

from tests.support.backend import Backend, Exchange
from tests.support.chunks import DONE, answer, chunk, event
from tests.support.collector import collecting
from tests.support.process import started
from tests.support.store import protected_store
from tests.support.tokens import claims, signed

KEY = "canary-api-key-0123456789"
BACKEND_KEY = "sk-canary-backend-key"
SECRET = "canary secret of the tokens, thirty-two bytes"  # noqa: S105 - of the test
PASSWORD = "canary-redis-password"  # noqa: S105 - of the test
QUESTION = "canary-question"
ANSWER = "canary-answer"


async def reject(exchange: Exchange) -> None:
    await exchange.json(400, {"error": {"message": f"no: {QUESTION} with {BACKEND_KEY}"}})


async def break_down(exchange: Exchange) -> None:
    await exchange.json(500, {"error": {"message": f"{QUESTION} {BACKEND_KEY}"}})


async def break_off(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.send(event(chunk(ANSWER)))


async def send_junk(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.send(event(chunk(ANSWER)), f'data: {{"{ANSWER}": \n\n'.encode())


async def send_error(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.send(
        event(chunk(ANSWER)), event({"error": {"message": f"{QUESTION} {BACKEND_KEY}"}}), DONE
    )


async def reset(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.send(event(chunk(ANSWER)))
    exchange.reset()


async def say(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.send(*answer(ANSWER))


@pytest.mark.timeout(180)
async def test_neither_texts_nor_secrets_are_told_to_anybody_but_their_owners(
    tmp_path: Path, backend: Backend, user: str
) -> None:
    with collecting() as collector, protected_store(tmp_path, PASSWORD) as store_url:
        async with started(
            tmp_path,
            log_level="debug",
            otel_exporter_otlp_endpoint=collector.url,
            otel_log_level="debug",
            llm_base_url=backend.url,
            llm_model="test-model",
            llm_api_key=BACKEND_KEY,
            redis_url=store_url,
            api_keys=f"{KEY}={user}",
            jwt_secret=SECRET,
            shutdown_grace_seconds=1,
        ) as (service, client):
            token = signed(claims(user), SECRET)
            for credential in (KEY, token):
                client.headers["Authorization"] = f"Bearer {credential}"
                for script in (say, reject, break_down, break_off, send_junk, send_error, reset):
                    backend.script = script
                    await client.post(
                        "/chat",
                        json={"user_id": user, "message": QUESTION, "stop": QUESTION},
                        headers={"Idempotency-Key": f"{QUESTION}-{script.__name__}-{credential[-8:]}"},
                    )
            await send_what_is_no_request(client, user)
            kept = (await client.get(f"/users/{user}/conversations/default")).text
            assert QUESTION in kept
            assert ANSWER in kept
            metrics = (await client.get("/metrics")).text
            service.process.terminate()
            assert await service.ended() == 0
        log = json.dumps(service.log)
        spans = b"".join(collector.bodies)
    assert "turn ended" in log
    assert b"chat test-model" in spans
    for canary in (QUESTION, ANSWER, KEY, BACKEND_KEY, SECRET, PASSWORD, token, "canary"):
        assert canary not in log
        assert canary not in metrics
        assert canary.encode() not in spans


async def send_what_is_no_request(client: httpx.AsyncClient, user: str) -> None:
    for content in (f'{{"message": "{QUESTION}"', json.dumps([QUESTION]), json.dumps({QUESTION: QUESTION})):
        await client.post("/chat", content=content, headers={"Content-Type": "application/json"})
    await client.post("/chat", json={"user_id": user, "message": QUESTION, "model": QUESTION})
    await client.post("/chat", json={"user_id": user, "message": QUESTION, "temperature": QUESTION})
    for wrong in ("Bearer canary-wrong-key-0123456789", f"Bearer {signed(claims(user), SECRET * 2)}", KEY):
        await client.get(f"/users/{user}/conversations", headers={"Authorization": wrong})
