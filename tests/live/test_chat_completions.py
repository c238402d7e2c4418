"""`/v1/chat/completions` and `/v1/models`, asked by the official Python package and by plain HTTP."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx
import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, says
from tests.support.chunks import DONE, answer, chunk, event
from tests.support.turns import PausedScript

KEY, OTHER_KEY, BOUND_KEY = "key-one-0123456789", "key-two-0123456789", "key-bound-0123456789"
HI: list[Any] = [{"role": "user", "content": "Hi"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}


@asynccontextmanager
async def sdk(client: httpx.AsyncClient, key: str = KEY) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(
        base_url=f"{client.base_url}/v1", api_key=key, max_retries=0, _strict_response_validation=True
    ) as openai_client:
        yield openai_client


async def test_the_official_package_lists_models_and_chats(serve: Serve, backend: Backend) -> None:
    async with serve(llm_allowed_models=("org/other",)) as client, sdk(client) as ask:
        assert [model.id async for model in ask.models.list()] == ["org/other", "test-model"]
        assert (await ask.models.retrieve("org/other")).id == "org/other"
        whole = await ask.chat.completions.create(model="test-model", messages=HI)
        assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == ("Hello, world", "stop")
        assert whole.usage is not None
        assert whole.usage.total_tokens == 7
        stream = await ask.chat.completions.create(model="test-model", messages=HI, stream=True)
        parts = [part async for part in stream]
        assert "".join(part.choices[0].delta.content or "" for part in parts) == "Hello, world"
        assert backend.completions[-1].body["stream_options"] == {"include_usage": True}


async def test_the_packages_helpers_for_streams_and_types_work(serve: Serve, backend: Backend) -> None:
    class Place(BaseModel):
        city: str

    backend.script = says('{"city"', ':"Rome"}')
    async with serve() as client, sdk(client) as ask:
        async with ask.chat.completions.stream(
            model="test-model", messages=HI, response_format=Place
        ) as stream:
            kinds = [each.type async for each in stream]
            streamed = await stream.get_final_completion()
        whole = await ask.chat.completions.parse(model="test-model", messages=HI, response_format=Place)
    assert kinds[-1] == "content.done"
    assert streamed.choices[0].message.parsed == whole.choices[0].message.parsed == Place(city="Rome")
    assert backend.completions[-1].body["response_format"]["json_schema"]["name"] == "Place"


async def test_errors_are_the_exceptions_that_the_package_has_for_them(
    serve: Serve, backend: Backend
) -> None:
    async with serve(api_keys=(KEY,)) as client, sdk(client) as ask, sdk(client, "wrong-0123456789") as wrong:
        with pytest.raises(openai.AuthenticationError):
            await wrong.models.list()
        with pytest.raises(openai.NotFoundError) as unknown:
            await ask.chat.completions.create(model="nope", messages=HI)
        assert unknown.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as empty:
            await ask.chat.completions.create(model="test-model", messages=[])
        assert empty.value.param == "messages"

        async def refuse(exchange: Exchange) -> None:
            await exchange.json(400, {"error": {"message": "messages: no such role", "param": "messages"}})

        backend.script = refuse
        with pytest.raises(openai.BadRequestError, match="no such role"):
            await ask.chat.completions.create(model="test-model", messages=HI)

        async def break_off(exchange: Exchange) -> None:
            await exchange.head()
            await exchange.send(event(chunk("Hel")), event({"error": {"message": "worker died"}}))

        backend.script = break_off
        with pytest.raises(openai.APIError, match="worker died"):
            async for _ in await ask.chat.completions.create(model="test-model", messages=HI, stream=True):
                pass


async def test_the_body_goes_to_the_backend_as_it_came(serve: Serve, backend: Backend) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    body = {
        "model": "test-model",
        "messages": [{"role": "developer", "content": [{"type": "text", "text": "Look"}, image]}],
        "tools": [TOOL],
        "response_format": {"type": "json_object"},
        "seed": 123456789012345678901234567890,
        "vendor_field": {"deep": [1, 2.5, None]},
        "stream": True,
    }
    async with serve(llm_max_tokens=50) as client:
        assert (
            await client.post("/v1/chat/completions", json={**body, "max_tokens": 500})
        ).status_code == 200
        sent = backend.completions[-1].body
        assert sent == {**body, "max_tokens": 50, "stream_options": {"include_usage": True}}
        await client.post("/v1/chat/completions", json={**body, "max_completion_tokens": 10})
        sent = backend.completions[-1].body
        assert (sent["max_completion_tokens"], "max_tokens" in sent) == (10, False)
        await client.post("/v1/chat/completions", json={**body, "max_completion_tokens": 1e9})
        assert backend.completions[-1].body["max_completion_tokens"] == 50
        await client.post("/v1/chat/completions", json=body)
        assert "max_tokens" not in backend.completions[-1].body
    assert not {"authorization", "cookie", "x-stainless-lang"} & {*backend.completions[-1].headers}


async def test_chunks_are_relayed_byte_for_byte_without_ids(serve: Serve, backend: Backend) -> None:
    parts = [
        event({**chunk("a"), "odd": [1.50, "\u2028"]}),
        event(chunk("b")),
        event(chunk(finish_reason="stop")),
    ]

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*parts, DONE)

    backend.script = script
    async with serve() as client:
        request = {"model": "test-model", "messages": HI, "stream": True}
        response = await client.post("/v1/chat/completions", json=request)
    assert response.content == b"".join([*parts, DONE])
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_tool_calls_are_put_together(serve: Serve, backend: Backend) -> None:
    def call(**fields: Any) -> bytes:
        part = chunk("")
        part["choices"][0]["delta"] = {"tool_calls": [fields]}
        return event(part)

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(
            call(index=0, id="call_1", type="function", function={"name": "weather", "arguments": ""}),
            call(index=0, function={"arguments": '{"city":'}),
            call(index=1, id="call_2", type="function", function={"name": "time", "arguments": "{}"}),
            call(index=0, function={"arguments": '"Rome"}'}),
            event(chunk(finish_reason="tool_calls")),
            DONE,
        )

    backend.script = script
    async with serve() as client, sdk(client) as ask:
        whole = await ask.chat.completions.create(model="test-model", messages=HI, tools=[TOOL])
    calls = whole.choices[0].message.tool_calls or []
    assert [
        (each.id, each.function.name, each.function.arguments) for each in calls if each.type == "function"
    ] == [
        ("call_1", "weather", '{"city":"Rome"}'),
        ("call_2", "time", "{}"),
    ]


async def test_what_cannot_be_streamed_is_passed_through_whole(serve: Serve, backend: Backend) -> None:
    choices = [
        {
            "index": n,
            "message": {"role": "assistant", "content": f"{n}", "refusal": None},
            "finish_reason": "stop",
            "logprobs": None,
        }
        for n in range(2)
    ]
    completion = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "test-model",
        "choices": choices,
    }

    async def script(exchange: Exchange) -> None:
        await exchange.json(200, completion)

    backend.script = script
    async with serve() as client, sdk(client) as ask:
        whole = await ask.chat.completions.create(model="test-model", messages=HI, n=2)
    assert [choice.message.content for choice in whole.choices] == ["0", "1"]
    assert backend.completions[-1].body["stream"] is False


async def test_an_answer_that_is_not_streamed_may_take_longer_than_a_first_token(
    serve: Serve, backend: Backend
) -> None:
    async def script(exchange: Exchange) -> None:
        await asyncio.sleep(0.5)
        await exchange.json(200, {"id": "c", "choices": [{"index": 0, "message": {"content": "Hi"}}]})

    backend.script = script
    async with serve(llm_first_token_timeout_seconds=0.2) as client:
        body = {"model": "test-model", "messages": HI, "n": 2}
        whole = await client.post("/v1/chat/completions", json=body)
    assert whole.json()["choices"][0]["message"]["content"] == "Hi", whole.text


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_client_that_leaves_before_the_first_token_stops_the_generation(
    serve: Serve, backend: Backend, *, is_streamed: bool
) -> None:
    asked = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        asked.set()
        await exchange.hung_up.wait()

    backend.script = script
    async with serve() as client:
        body = {"model": "test-model", "messages": HI, "stream": is_streamed}
        leaving = asyncio.create_task(client.post("/v1/chat/completions", json=body))
        await asked.wait()
        leaving.cancel()
        async with asyncio.timeout(3):
            await backend.completions[0].hung_up.wait()


async def test_without_a_key_a_closed_connection_stops_the_generation(serve: Serve, backend: Backend) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(event(chunk("a")))
        await exchange.hung_up.wait()

    backend.script = script
    async with serve() as client:
        body = {"model": "test-model", "messages": HI, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for _ in response.aiter_bytes():
                break
        async with asyncio.timeout(3):
            await backend.completions[0].hung_up.wait()


async def test_a_key_that_is_sent_again_to_another_replica_attaches(serve: Serve, backend: Backend) -> None:
    go_on = asyncio.Event()

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        first, *rest = answer("a", "b")
        await exchange.send(first)
        await go_on.wait()
        await exchange.send(*rest)

    backend.script = script
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    body = {"model": "test-model", "messages": HI, "stream": True, "user": uuid.uuid4().hex}
    async with serve() as one, serve() as other:
        async with one.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
            turn_id = response.headers["x-turn-id"]
            async for _ in response.aiter_bytes():
                break
        again = asyncio.create_task(other.post("/v1/chat/completions", json=body, headers=headers))
        followed = asyncio.create_task(other.get(f"/chat/{turn_id}"))
        go_on.set()
        assert (await again).status_code == 200, (await again).text
        assert (await again).content == b"".join([*answer("a", "b")[:-2], DONE])
        assert (await again).headers["x-turn-id"] == turn_id
        assert b"-end\ndata: [DONE]" in (await followed).content
        changed = {**body, "temperature": 1}
        refused = await other.post("/v1/chat/completions", json=changed, headers=headers)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "idempotency_key_reused")
    assert len(backend.completions) == 1


async def test_a_turn_of_one_credential_is_unknown_to_another(serve: Serve) -> None:
    user = uuid.uuid4().hex
    keys = (KEY, OTHER_KEY, f"{BOUND_KEY}={user}")
    body = {"model": "test-model", "messages": HI, "user": user}
    async with serve(api_keys=keys, trusted_user_header="X-User") as client:

        async def status(turn_id: str, key: str, **headers: str) -> int:
            headers = {"Authorization": f"Bearer {key}", **headers}
            return (await client.get(f"/chat/{turn_id}", headers=headers)).status_code

        async def turn(key: str, **headers: str) -> str:
            headers = {"Authorization": f"Bearer {key}", **headers}
            response = await client.post("/v1/chat/completions", json=body, headers=headers)
            assert response.status_code == 200, response.text
            return str(response.headers["x-turn-id"])

        mine = await turn(KEY)
        assert [await status(mine, key) for key in (KEY, OTHER_KEY, BOUND_KEY)] == [200, 404, 404]
        bound = await turn(BOUND_KEY)
        assert [await status(bound, key) for key in (KEY, BOUND_KEY)] == [404, 200]
        alices = await turn(KEY, **{"X-User": "alice"})
        assert await status(alices, KEY, **{"X-User": "alice"}) == 200
        assert await status(alices, KEY, **{"X-User": "bob"}) == 404
        assert await status(alices, KEY) == 404


async def test_no_history_keeps_a_completion_and_nothing_stays_behind(serve: Serve, redis: Any) -> None:
    user = uuid.uuid4().hex
    async with serve() as client:
        body = {"model": "test-model", "messages": HI, "user": user}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
        assert (await client.get(f"/users/{user}/conversations")).json()["conversations"] == []
    left = {key.decode().split(":", 2)[2] for key in await redis.keys(f"chat:{{{user}}}:*")}
    assert {name.split(":")[0] for name in left} <= {"closed", "started-turns", "turns"}


async def test_an_idempotency_key_of_one_credential_finds_no_turn_of_another(
    serve: Serve, backend: Backend
) -> None:
    name = uuid.uuid4().hex
    body = {"model": "test-model", "messages": HI, "user": name}
    async with serve(api_keys=(KEY, OTHER_KEY)) as client:

        async def turn(key: str) -> str:
            headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": name}
            response = await client.post("/v1/chat/completions", json=body, headers=headers)
            assert response.status_code == 200, response.text
            return str(response.headers["x-turn-id"])

        assert await turn(KEY) == await turn(KEY)
        assert await turn(KEY) != await turn(OTHER_KEY)
        assert len(backend.completions) == 2


async def test_a_credential_that_many_share_is_not_one_user(serve: Serve, backend: Backend) -> None:
    backend.script = script = PausedScript(event(chunk("a")))
    limits = {"max_readers_per_user": 1, "rate_limit_turns_per_minute": 1, "max_active_turns_per_user": 1}
    body = {"model": "test-model", "messages": HI, "stream": True}
    async with serve(**limits) as client, AsyncExitStack() as streams:

        async def begin(**fields: str) -> httpx.Response:
            stream = client.stream("POST", "/v1/chat/completions", json={**body, **fields})
            return await streams.enter_async_context(stream)

        responses = [await begin(), await begin()]
        follow = client.stream("GET", f"/chat/{responses[0].headers['x-turn-id']}")
        responses.append(await streams.enter_async_context(follow))
        assert [each.status_code for each in responses] == [200, 200, 200]
        user = uuid.uuid4().hex
        assert [(await begin(user=user)).status_code for _ in range(2)] == [200, 503]
        script.go_on.set()


async def test_what_is_erased_of_a_user_are_completions_too(serve: Serve, backend: Backend) -> None:
    user = uuid.uuid4().hex
    body = {"model": "test-model", "messages": HI, "user": user, "stream": True}
    async with serve() as one, serve() as other:
        ended = await one.post("/v1/chat/completions", json=body)
        backend.script = PausedScript(event(chunk("a secret")))
        headers = {"Idempotency-Key": "a-key"}
        async with one.stream("POST", "/v1/chat/completions", json=body, headers=headers) as running:
            assert (await other.delete(f"/users/{user}")).status_code == 204
            async with asyncio.timeout(3):
                await backend.completions[1].hung_up.wait()
            assert b'"code":"conversation_deleted"' in await running.aread()
        for response in (ended, running):
            assert (await other.get(f"/chat/{response.headers['x-turn-id']}")).status_code == 404
        again = await other.post("/v1/chat/completions", json=body, headers=headers)
        assert again.status_code == 404


async def test_a_user_that_a_proxy_names_may_have_any_script(serve: Serve, redis: Any) -> None:
    user = f"José María {uuid.uuid4().hex}"
    body = {"model": "test-model", "messages": HI}
    async with serve(trusted_user_header="X-User") as client:
        response = await client.post("/v1/chat/completions", json=body, headers={b"X-User": user.encode()})
        assert response.status_code == 200, response.text
        assert await redis.exists(f"chat:{{{quote(user, safe='')}}}:started-turns")


async def test_a_name_that_cannot_be_a_user_is_refused(serve: Serve) -> None:
    async with serve() as client:
        for user in ("a/b", "", 7, " a", "a\u200bb", "e\u0301"):
            body = {"model": "test-model", "messages": HI, "user": user}
            refused = await client.post("/v1/chat/completions", json=body)
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "user")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"messages": {}}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [*HI, None]}, "messages[1]"),
        ({"stream": "true"}, "stream"),
        ({"stream_options": "usage"}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"max_completion_tokens": True}, "max_completion_tokens"),
    ],
)
async def test_a_field_that_the_service_reads_has_its_type(
    serve: Serve, backend: Backend, fields: dict[str, Any], param: str
) -> None:
    async with serve() as client:
        body = {"model": "test-model", "messages": HI, **fields}
        refused = await client.post("/v1/chat/completions", json=body)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert not backend.completions


async def test_what_is_no_request_is_refused_with_openais_statuses(serve: Serve) -> None:
    async with serve() as client:
        for content, code in (
            (b"{", "invalid_json"),
            (b"[]", "validation_error"),
            (b'{"model":NaN}', "invalid_json"),
            (b'{"temperature":1e999}', "invalid_json"),
            (b'{"model":"\\ud83d"}', "invalid_json"),
            (b"[" * 100_000, "invalid_json"),
        ):
            headers = {"Content-Type": "application/json"}
            refused = await client.post("/v1/chat/completions", content=content, headers=headers)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, code)
        missing = await client.post("/v1/chat/completions", json={"messages": HI})
        assert (missing.status_code, missing.json()["error"]["param"]) == (400, "model")
        assert json.loads(missing.text)["error"]["type"] == "invalid_request_error"
