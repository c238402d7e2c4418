"""`/health` looks at nothing; `/ready` looks at both backends, and says which one is down."""

import asyncio

import httpx
import pytest
import respx
from fastapi import FastAPI
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from app.service import Service


async def test_health_is_ok_whatever_else_is_down(client: httpx.AsyncClient, llm: respx.MockRouter) -> None:
    llm.get("/models").mock(side_effect=httpx.ConnectError("refused"))
    response = await client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_ready_when_both_answer(client: httpx.AsyncClient) -> None:
    response = await client.get("/ready")
    body = response.json()
    assert (response.status_code, body["status"]) == (200, "ready")
    assert {name: set(check) for name, check in body["checks"].items()} == {
        "llm": {"status", "latency_ms"},
        "redis": {"status", "latency_ms"},
    }


async def test_not_ready_without_the_backend_and_the_reason_has_no_address(
    client: httpx.AsyncClient, llm: respx.MockRouter
) -> None:
    llm.get("/models").mock(side_effect=httpx.ConnectError("http://user:pw@10.0.0.7 refused"))
    response = await client.get("/ready")
    body = response.json()
    assert (response.status_code, body["status"]) == (503, "not_ready")
    assert body["checks"]["llm"]["status"] == "down"
    assert body["checks"]["llm"]["detail"] == "The model's backend is unreachable."
    assert body["checks"]["redis"]["status"] == "up"


async def test_not_ready_without_redis(
    client: httpx.AsyncClient, fake_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise RedisConnectionError("redis://:pw@10.0.0.7")

    monkeypatch.setattr(fake_redis, "execute_command", refuse)
    body = (await client.get("/ready")).json()
    assert body["checks"]["redis"] == {
        "status": "down",
        "latency_ms": body["checks"]["redis"]["latency_ms"],
        "detail": "The conversation store is unreachable.",
    }


async def test_many_callers_share_one_probe(client: httpx.AsyncClient, llm: respx.MockRouter) -> None:
    await asyncio.gather(*(client.get("/ready") for _ in range(5)))
    assert llm.get("/models").call_count == 1


async def test_without_checks_nothing_is_probed(client: httpx.AsyncClient, llm: respx.MockRouter) -> None:
    response = await client.get("/ready?checks=none")
    assert (response.status_code, response.json()) == (200, {"status": "ready", "checks": {}})
    assert llm.calls.call_count == 0


async def test_draining_is_told_by_both_and_new_turns_are_refused(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    service: Service = app.state.service
    await service.engine.drain(0)
    for path in ("/ready", "/ready?checks=none"):
        response = await client.get(path)
        assert (response.status_code, response.json()["status"]) == (503, "draining")
    response = await client.post("/chat", json={"user_id": "user", "message": "Hi"})
    assert (response.status_code, response.json()["error"]["code"]) == (503, "draining")
    assert "retry-after" in response.headers
