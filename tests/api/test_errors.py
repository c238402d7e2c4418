"""Every refusal: its status, its code, and one shape for all."""

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import respx
from fastapi import FastAPI
from redis.asyncio import Redis

from app import errors
from app.api.errors import STATUS
from app.errors import ServiceError

GOOD = {"user_id": "user", "message": "Hi"}


def assert_error(response: httpx.Response, status: int, code: str, param: str | None = None) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "code", "param", "request_id"}
    assert (body["error"]["code"], body["error"]["param"]) == (code, param)
    assert body["error"]["request_id"] == response.headers["x-request-id"]
    assert body["error"]["message"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"user_id": 7}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": None}, "user_id"),
        ({"user_id": "u" * 129}, "user_id"),
        ({"user_id": "a/b"}, "user_id"),
        ({"user_id": "."}, "user_id"),
        ({"user_id": ".."}, "user_id"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"user_id": "a\x85b"}, "user_id"),
        ({"conversation_id": "a/b"}, "conversation_id"),
        ({"message": ""}, "message"),
        ({"message": " \n\t\u3000"}, "message"),
        ({"message": ["Hi"]}, "message"),
        ({"message": "x" * 51}, "message"),
        ({"mesage": "Hi"}, "mesage"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options"),
        ({"stream_options": {"include": True}}, "stream_options"),
        ({"stop": [""]}, "stop"),
        ({"seed": 2**63}, "seed"),
        ({"seed": -(2**63) - 1}, "seed"),
        ({"max_tokens": 2**63}, "max_tokens"),
        ({"temperature": 10**400}, "temperature"),
        ({"user_id": " a"}, "user_id"),
        ({"user_id": "a\u3000"}, "user_id"),
        ({"user_id": "a\u200bb"}, "user_id"),
        ({"user_id": "a\u202eb"}, "user_id"),
        ({"user_id": "a\u2066b"}, "user_id"),
        ({"user_id": "\ufeffa"}, "user_id"),
        ({"user_id": "a\u2028b"}, "user_id"),
        ({"user_id": "a\u2029b"}, "user_id"),
        ({"user_id": "e\u0301"}, "user_id"),
        ({"user_id": "\u212b"}, "user_id"),
        ({"conversation_id": "a\u00ad"}, "conversation_id"),
        ({"body": 1}, "body"),
        ({"x" * 1000: 1}, "x" * 100),
    ],
)
async def test_a_wrong_field_is_named(client: httpx.AsyncClient, change: dict[str, Any], param: str) -> None:
    assert_error(await client.post("/chat", json=GOOD | change), 422, "validation_error", param)


@pytest.mark.parametrize("field", ["user_id", "message"])
async def test_a_missing_field_is_named(client: httpx.AsyncClient, field: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != field}
    assert_error(await client.post("/chat", json=body), 422, "validation_error", field)


@pytest.mark.parametrize("field", ["user_id", "message"])
async def test_half_a_surrogate_pair_is_refused(client: httpx.AsyncClient, field: str) -> None:
    body = json.dumps({**GOOD, field: "\ud83d"})
    response = await client.post("/chat", content=body, headers={"Content-Type": "application/json"})
    assert_error(response, 422, "validation_error", field)


@pytest.mark.parametrize("text", ["ż", "用户", "a:b", "{a}", "a b", "🐢", "u" * 128, "...", "%2F"])
async def test_a_user_id_may_be_of_any_script(client: httpx.AsyncClient, text: str) -> None:
    response = await client.post("/chat", json=GOOD | {"user_id": text, "conversation_id": text})
    assert response.status_code == 200


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le"])
async def test_json_in_another_encoding_is_broken(client: httpx.AsyncClient, encoding: str) -> None:
    headers = {"Content-Type": f"application/json; charset={encoding}"}
    response = await client.post("/chat", content=json.dumps(GOOD).encode(encoding), headers=headers)
    assert_error(response, 400, "invalid_json")


@pytest.mark.parametrize("name", ["e\u0301", "a\u200bb", " a "])
async def test_what_an_earlier_release_stored_under_an_odd_name_is_read_and_erased(
    client: httpx.AsyncClient, fake_redis: Redis, name: str
) -> None:
    key = f"chat:{{{quote(name, safe='')}}}:messages:{quote(name, safe='')}"
    message = {"role": "user", "content": "Hi", "turn_id": "t", "created_at": "2026-01-01T00:00:00.000Z"}
    await fake_redis.rpush(key, json.dumps(message))
    path = f"/users/{quote(name)}/conversations/{quote(name)}"
    assert [each["content"] for each in (await client.get(path)).json()["messages"]] == ["Hi"]
    assert (await client.delete(path)).status_code == 204
    assert not await fake_redis.exists(key)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"{'a': 1}", b"[" * 1_500, b'{"user_id": "\xed\xa0\x80"}'])
async def test_broken_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/chat", content=body, headers={"Content-Type": "application/json"})
    assert_error(response, 400, "invalid_json")


async def test_an_empty_body_lacks_its_fields(client: httpx.AsyncClient) -> None:
    response = await client.post("/chat", content=b"", headers={"Content-Type": "application/json"})
    assert_error(response, 422, "validation_error")


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"7", b"null"])
async def test_json_that_is_no_object_is_a_422(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post("/chat", content=body, headers={"Content-Type": "application/json"})
    assert_error(response, 422, "validation_error")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "json"])
async def test_a_body_that_does_not_say_it_is_json_is_a_415(
    client: httpx.AsyncClient, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await client.post("/chat", content=b'{"user_id": "user", "message": "Hi"}', headers=headers)
    assert_error(response, 415, "unsupported_media_type")


async def test_json_may_name_its_charset(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    response = await client.post("/chat", content=b'{"user_id": "u", "message": "Hi"}', headers=headers)
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/nowhere", "/health/", "/chat/"])
async def test_an_unknown_path_is_a_404(client: httpx.AsyncClient, path: str) -> None:
    assert_error(await client.get(path), 404, "not_found")


async def test_a_parameter_of_the_query_is_named_too(client: httpx.AsyncClient) -> None:
    assert_error(await client.get("/ready?checks=some"), 422, "validation_error", "checks")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PUT", "/chat", "POST"), ("POST", "/health", "GET, HEAD"), ("PUT", "/chat/x", "DELETE, GET, HEAD")],
)
async def test_another_method_is_a_405_that_names_the_right_one(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)
    assert_error(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


async def test_a_body_that_announces_too_much_is_a_413(client: httpx.AsyncClient) -> None:
    response = await client.post("/chat", json=GOOD | {"message": "x" * 2001})
    assert_error(response, 413, "body_too_large")


async def test_a_body_in_chunks_is_a_413_as_well(client: httpx.AsyncClient) -> None:
    async def parts() -> Any:
        for _ in range(30):
            yield b" " * 100

    response = await client.post("/chat", content=parts(), headers={"Content-Type": "application/json"})
    assert_error(response, 413, "body_too_large")


async def test_a_model_that_is_not_offered_is_refused(client: httpx.AsyncClient) -> None:
    assert_error(
        await client.post("/chat", json=GOOD | {"model": "gpt-9"}), 422, "model_not_allowed", "model"
    )


@pytest.mark.parametrize("model", ["test-model", "other-model"])
async def test_a_model_that_is_offered_is_asked(
    client: httpx.AsyncClient, llm: respx.MockRouter, model: str
) -> None:
    assert (await client.post("/chat", json=GOOD | {"model": model})).status_code == 200
    assert f'"model":"{model}"'.encode() in llm.calls.last.request.content


async def test_a_defect_is_a_500_that_gives_nothing_away(app: FastAPI, client: httpx.AsyncClient) -> None:
    @app.get("/defect")
    async def defect() -> None:
        raise ZeroDivisionError("secret")

    response = await client.get("/defect")
    assert_error(response, 500, "internal_error")
    assert "secret" not in response.text


@pytest.mark.parametrize("request_id", ["abc-123", "x" * 128, "~!@"])
async def test_the_clients_request_id_is_echoed(client: httpx.AsyncClient, request_id: str) -> None:
    response = await client.get("/nowhere", headers={"X-Request-Id": request_id})
    assert response.headers["x-request-id"] == request_id


@pytest.mark.parametrize("request_id", [b"", b"a b", b"x" * 129, "é".encode()])
async def test_a_request_id_that_cannot_be_echoed_is_replaced(
    client: httpx.AsyncClient, request_id: bytes
) -> None:
    response = await client.get("/nowhere", headers={b"X-Request-Id": request_id})
    assert len(response.headers["x-request-id"]) == 32


def _all_errors(base: type[ServiceError] = ServiceError) -> list[type[ServiceError]]:
    return [error for child in base.__subclasses__() for error in (child, *_all_errors(child))]


def test_every_error_with_a_code_has_a_status_and_a_code_of_its_own() -> None:
    with_code = [error for error in _all_errors() if "code" in vars(error)]
    assert set(with_code) == set(STATUS)
    assert len({error.code for error in with_code}) == len(with_code)
    assert all(error.__name__ in (errors.__doc__ or "") for error in with_code)


async def test_the_description_lists_every_route_and_its_errors(client: httpx.AsyncClient) -> None:
    description = (await client.get("/openapi.json")).json()
    responses = description["paths"]["/chat"]["post"]["responses"]
    assert set(responses) >= {"200", "400", "413", "415", "422", "429", "500", "502", "503", "504"}
    schemas = {
        content["schema"].get("$ref")
        for status, response in responses.items()
        if int(status) >= 400
        for content in response["content"].values()
    }
    assert schemas == {"#/components/schemas/ErrorBody"}
