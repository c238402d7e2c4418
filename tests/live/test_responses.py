"""`/v1/responses`, asked by the official Python package, which checks every answer, and by plain HTTP."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai.types.responses import Response

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, says
from tests.support.chunks import DONE, answer, chunk, event
from tests.support.responses import (
    KEY,
    OTHER_KEY,
    WEATHER,
    body,
    calls,
    create,
    sdk,
    streamed,
    types,
    without_comments,
)
from tests.support.turns import PausedScript


async def test_the_official_package_creates_streams_and_retrieves(serve: Serve, backend: Backend) -> None:
    async with serve() as client, sdk(client) as ask:
        whole = await ask.responses.create(model="test-model", input="Hi", instructions="Be brief.")
        assert (whole.output_text, whole.status) == ("Hello, world", "completed")
        assert whole.usage is not None
        assert whole.usage.total_tokens == 7
        assert whole.completed_at is not None
        assert backend.completions[-1].body["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ]
        assert (await ask.responses.retrieve(whole.id)) == whole
        events = [
            each async for each in await ask.responses.create(model="test-model", input="Hi", stream=True)
        ]
        assert [each.sequence_number for each in events] == list(range(len(events)))
        assert events[-1].type == "response.completed"
        again = [each async for each in await ask.responses.retrieve(events[-1].response.id, stream=True)]
        assert again == events


async def test_the_packages_stream_helper_parses_what_it_gets(serve: Serve, backend: Backend) -> None:
    backend.script = says('{"city": ', '"Rome"}')
    async with (
        serve() as client,
        sdk(client) as ask,
        ask.responses.stream(model="test-model", input="Hi", tools=[WEATHER]) as stream,
    ):
        texts = [each.snapshot async for each in stream if each.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert texts == ['{"city": ', '{"city": "Rome"}']
    assert final.output_text == '{"city": "Rome"}'


async def test_the_status_is_held_until_the_backend_answers(serve: Serve, backend: Backend) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.json(429, {"error": {"message": "slow down"}})

    backend.script = refuse
    async with serve() as client, sdk(client) as ask:
        with pytest.raises(openai.RateLimitError):
            await ask.responses.create(model="test-model", input="Hi", stream=True)


async def test_a_failed_start_leaves_nothing_behind(serve: Serve, backend: Backend, redis: Any) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.json(400, {"error": {"message": "no"}})

    backend.script = refuse
    user = uuid.uuid4().hex
    async with serve() as client:
        refused = await client.post("/v1/responses", json=body(user=user))
    assert refused.status_code == 400
    assert await redis.keys(f"chat:{{{user}}}:*") == []
    for key in await redis.keys("chat:turn:*:response:*"):
        assert await redis.hget(key, "user_id") != user.encode()


async def test_at_every_cut_another_replica_sends_the_rest_with_the_same_bytes(
    serve: Serve, backend: Backend
) -> None:
    script = PausedScript(*answer("Hel", "lo")[:3], rest=tuple(answer("wor", "ld")[1:]))
    backend.script = script
    async with serve() as one, serve() as other:
        async with one.stream("POST", "/v1/responses", json=body(stream=True)) as response:
            parts = response.aiter_bytes()
            seen = b""
            while seen.count(b"output_text.delta\n") < 2:
                seen += await anext(parts)
            response_id = json.loads(seen.split(b"data: ")[1].split(b"\n")[0])["response"]["id"]
            running = [asyncio.create_task(streamed(other, response_id, after)) for after in (-1, 0, 2, 5)]
            await asyncio.sleep(0)
            script.go_on.set()
            whole = without_comments(seen + b"".join([part async for part in parts]))
        frames = [frame + b"\n\n" for frame in whole.split(b"\n\n")[:-1]]
        for after, rest in zip((-1, 0, 2, 5), await asyncio.gather(*running), strict=True):
            assert rest == b"".join(frames[after + 1 :])
        for after in range(-1, len(frames)):
            assert await streamed(other, response_id, after) == b"".join(frames[after + 1 :])
    assert types(whole)[-1] == "response.completed"


async def test_completed_comes_after_the_response_is_stored(serve: Serve) -> None:
    async with serve() as one, serve() as other:
        async with one.stream("POST", "/v1/responses", json=body(stream=True)) as response:
            seen = b"".join([part async for part in response.aiter_bytes()])
        final = json.loads(seen.rsplit(b"data: ", 1)[1])
        assert (await other.get(f"/v1/responses/{final['response']['id']}")).json() == final["response"]


async def test_a_chain_holds_everything_said_on_any_replica(serve: Serve, backend: Backend) -> None:
    async with serve() as one, serve() as other:
        first = await create(one, input="One", instructions="Only now.")
        second = await create(other, input="Two", previous_response_id=first["id"])
        fork = await create(one, input="Three", previous_response_id=first["id"])
        last = await create(other, input="Four", previous_response_id=second["id"])
    said = [[message["content"] for message in each.body["messages"]] for each in backend.completions]
    reply = "Hello, world"
    assert said == [
        ["Only now.", "One"],
        ["One", reply, "Two"],
        ["One", reply, "Three"],
        ["One", reply, "Two", reply, "Four"],
    ]
    assert last["previous_response_id"] == second["id"]
    assert fork["previous_response_id"] == first["id"]


async def test_a_response_may_name_items_of_earlier_ones(serve: Serve, backend: Backend) -> None:
    async with (
        serve(api_keys=(KEY, OTHER_KEY)) as client,
        sdk(client) as ask,
        sdk(client, OTHER_KEY) as other,
    ):
        first = await ask.responses.create(model="test-model", input="One")
        asked: Any = [
            {"type": "item_reference", "id": f"msg_{first.id.removeprefix('resp_')}i0000"},
            {"type": "item_reference", "id": first.output[0].id},
            {"role": "user", "content": "Two"},
        ]
        await ask.responses.create(model="test-model", input=asked)
        said = [message["content"] for message in backend.completions[-1].body["messages"]]
        assert said == ["One", "Hello, world", "Two"]
        with pytest.raises(openai.NotFoundError):
            await other.responses.create(model="test-model", input=asked)


async def test_items_that_a_request_names_are_bounded_as_often_as_it_names_them(
    serve: Serve, backend: Backend
) -> None:
    async with serve(v1_max_body_bytes=64 * 1024) as client:
        first = await create(client, input="x" * 20_000)
        named = {"type": "item_reference", "id": f"msg_{first['id'].removeprefix('resp_')}i0000"}
        assert (await client.post("/v1/responses", json=body(input=[named] * 3))).status_code == 200
        refused = await client.post("/v1/responses", json=body(input=[named] * 4))
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
        assert len(backend.completions) == 2


async def test_calls_of_one_turn_go_back_in_one_message_without_thoughts(
    serve: Serve, backend: Backend
) -> None:
    thought = chunk("")
    thought["choices"][0]["delta"] = {"reasoning_content": "Hm"}

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        first = {"index": 0, "id": "a", "function": {"name": "weather", "arguments": "{}"}}
        second = {"index": 1, "id": "b", "function": {"name": "weather", "arguments": "{}"}}
        await exchange.send(event(thought), event(chunk("I look.")), *calls(first, second))

    backend.script = script
    async with serve() as client, sdk(client) as ask:
        asked = await ask.responses.create(model="test-model", input="Weather?", tools=[WEATHER])
        assert [item.type for item in asked.output] == [
            "reasoning",
            "message",
            "function_call",
            "function_call",
        ]
        backend.script = says("Sunny")
        outputs: Any = [
            {"type": "function_call_output", "call_id": call_id, "output": "sun"} for call_id in ("a", "b")
        ]
        answered = await ask.responses.create(
            model="test-model", input=outputs, previous_response_id=asked.id, tools=[WEATHER]
        )
        assert answered.output_text == "Sunny"
        items = [each.type async for each in ask.responses.input_items.list(answered.id, order="asc")]
        assert items == ["function_call_output", "function_call_output"]
    function = {"name": "weather", "arguments": "{}"}
    assert backend.completions[-1].body["messages"] == [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"id": each, "type": "function", "function": function} for each in ("a", "b")],
        },
        {"role": "tool", "tool_call_id": "a", "content": "sun"},
        {"role": "tool", "tool_call_id": "b", "content": "sun"},
    ]


async def test_a_background_response_answers_at_once_and_needs_no_reader(
    serve: Serve, backend: Backend
) -> None:
    script = PausedScript(
        event(chunk("Hel")), rest=(event(chunk("lo")), event(chunk(finish_reason="stop")), DONE)
    )
    backend.script = script
    async with serve(resume_grace_seconds=0) as one, serve() as other, sdk(one) as ask, sdk(other) as poll:
        created = await ask.responses.create(model="test-model", input="Hi", background=True)
        assert created.status == "queued"
        async with asyncio.timeout(10):
            while not (running := await poll.responses.retrieve(created.id)).output:
                assert running.status == "in_progress"
            script.go_on.set()
            while (found := await poll.responses.retrieve(created.id)).status != "completed":
                pass
        assert found.output_text == "Hello"
        events = [each.type async for each in await poll.responses.retrieve(created.id, stream=True)]
        assert events[:3] == ["response.created", "response.queued", "response.in_progress"]


async def test_a_refusal_in_the_background_is_a_failed_response(serve: Serve, backend: Backend) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.json(400, {"error": {"message": "no such thing"}})

    backend.script = refuse
    async with serve() as client, sdk(client) as ask:
        created = await ask.responses.create(model="test-model", input="Hi", background=True)
        async with asyncio.timeout(10):
            while (found := await ask.responses.retrieve(created.id)).status != "failed":
                pass
    assert found.error is not None
    assert (found.error.code, "no such thing" in found.error.message) == ("invalid_prompt", True)


async def test_cancel_on_another_replica_is_acknowledged_when_the_generation_has_stopped(
    serve: Serve, backend: Backend
) -> None:
    script = PausedScript(event(chunk("Hel")))
    backend.script = script
    async with serve() as one, serve() as other, sdk(one) as ask, sdk(other) as cancel:
        created = await ask.responses.create(model="test-model", input="Hi", background=True)
        stream = await cancel.responses.retrieve(created.id, stream=True)
        events = [each async for each in _until_delta(stream)]
        cancelled = await cancel.responses.cancel(created.id)
        assert (cancelled.status, cancelled.output_text) == ("cancelled", "Hel")
        await asyncio.wait_for(backend.completions[-1].hung_up.wait(), 3)
        assert (await ask.responses.cancel(created.id)) == cancelled
        events += [each async for each in stream]
        assert events[-1].type == "response.incomplete"
        backend.script = says("done")
        completed = await ask.responses.create(model="test-model", input="Hi")
        with pytest.raises(openai.BadRequestError):
            await cancel.responses.cancel(completed.id)
        with pytest.raises(openai.NotFoundError):
            await cancel.responses.cancel("resp_" + "0" * 32)


async def _until_delta(stream: Any) -> AsyncIterator[Any]:
    async for each in stream:
        yield each
        if each.type == "response.output_text.delta":
            return


async def test_a_deleted_response_is_gone_and_ends_no_chain_but_its_own(serve: Serve) -> None:
    async with serve() as client, sdk(client) as ask:
        first = await ask.responses.create(model="test-model", input="Hi")
        await ask.responses.delete(first.id)
        with pytest.raises(openai.NotFoundError):
            await ask.responses.retrieve(first.id)
        with pytest.raises(openai.NotFoundError):
            await ask.responses.delete(first.id)
        with pytest.raises(openai.BadRequestError) as unknown:
            await ask.responses.create(model="test-model", input="Hi", previous_response_id=first.id)
        assert (unknown.value.code, unknown.value.param) == (
            "previous_response_not_found",
            "previous_response_id",
        )


async def test_a_running_response_is_no_previous_one_and_is_stopped_when_it_is_deleted(
    serve: Serve, backend: Backend
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve() as client:
        created = await create(client, background=True)
        refused = await client.post("/v1/responses", json=body(previous_response_id=created["id"]))
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "previous_response_id")
        assert (await client.delete(f"/v1/responses/{created['id']}")).json()["deleted"] is True
        await asyncio.wait_for(backend.completions[0].hung_up.wait(), 3)
        assert (await client.get(f"/v1/responses/{created['id']}")).status_code == 404


async def test_paths_of_openais_api_that_the_service_does_not_have_are_not_found(serve: Serve) -> None:
    async with serve() as client:
        for path in ("compact", "input_tokens"):
            refused = await client.post(f"/v1/responses/{path}", json=body())
            assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


async def test_input_items_are_listed_in_pages(serve: Serve) -> None:
    asked: Any = [{"role": "user", "content": text} for text in "abc"]
    async with serve() as client, sdk(client) as ask:
        response = await ask.responses.create(model="test-model", input=asked)
        newest = await ask.responses.input_items.list(response.id, limit=2)
        assert [item.content[0].text for item in newest.data] == ["c", "b"]  # type: ignore[union-attr,index]
        assert newest.has_more
        rest = [item.id async for item in ask.responses.input_items.list(response.id, limit=1, order="asc")]
        assert len(set(rest)) == 3


async def test_what_is_not_stored_is_not_found_and_stops_with_its_connection(
    serve: Serve, backend: Backend
) -> None:
    async with serve() as client:
        unstored = await create(client, store=False)
        assert (await client.get(f"/v1/responses/{unstored['id']}")).status_code == 404
        backend.script = PausedScript(event(chunk("Hel")))
        async with client.stream("POST", "/v1/responses", json=body(store=False, stream=True)) as response:
            async for _ in response.aiter_bytes():
                break
        await asyncio.wait_for(backend.completions[-1].hung_up.wait(), 3)


async def test_a_stored_response_without_a_reader_fails_when_its_grace_is_over(
    serve: Serve, backend: Backend
) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve(resume_grace_seconds=0) as client, sdk(client) as ask:
        async with client.stream("POST", "/v1/responses", json=body(stream=True)) as response:
            turn_id = response.headers["x-turn-id"]
            seen = b""
            async for part in response.aiter_bytes():
                seen += part
                if b"output_text.delta" in seen:
                    break
        async with asyncio.timeout(10):
            while (found := await ask.responses.retrieve(f"resp_{turn_id}")).status == "in_progress":
                await asyncio.sleep(0.1)
    assert (found.status, found.output_text) == ("failed", "Hel")


async def test_a_repeated_key_attaches_to_the_same_response(serve: Serve, backend: Backend) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    asked = body(user=uuid.uuid4().hex, stream=True)
    for store in (True, False):
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        async with serve() as one, serve() as other:
            first = await one.post("/v1/responses", json={**asked, "store": store}, headers=headers)
            again = await other.post("/v1/responses", json={**asked, "store": store}, headers=headers)
            assert first.content == again.content
            assert types(first.content)[-1] == "response.completed"
    assert len(backend.completions) == 2


async def test_a_response_of_one_credential_is_unknown_to_another(serve: Serve) -> None:
    async with (
        serve(api_keys=(KEY, OTHER_KEY)) as client,
        sdk(client) as mine,
        sdk(client, OTHER_KEY) as other,
    ):
        created = await mine.responses.create(model="test-model", input="Hi")
        with pytest.raises(openai.NotFoundError):
            await other.responses.retrieve(created.id)
        with pytest.raises(openai.BadRequestError) as refused:
            await other.responses.create(model="test-model", input="Hi", previous_response_id=created.id)
        assert refused.value.code == "previous_response_not_found"


async def test_what_one_user_of_a_proxy_makes_is_unknown_to_another(serve: Serve) -> None:
    alice, bob = ({"X-User": f"{name}-{uuid.uuid4().hex}"} for name in ("alice", "bob"))
    async with serve(trusted_user_header="X-User") as client:
        made = (await client.post("/v1/responses", json=body(user="ignored"), headers=alice)).json()
        kept = (await client.post("/v1/conversations", json={}, headers=alice)).json()
        for path in (f"responses/{made['id']}", f"conversations/{kept['id']}"):
            assert (await client.get(f"/v1/{path}", headers=alice)).status_code == 200
            assert (await client.get(f"/v1/{path}", headers=bob)).status_code == 404
            assert (await client.get(f"/v1/{path}")).status_code == 404
        assert (await client.delete(f"/users/{alice['X-User']}")).status_code == 204
        assert (await client.get(f"/v1/responses/{made['id']}", headers=alice)).status_code == 404


async def test_a_repeated_key_attaches_to_a_response_in_the_background(
    serve: Serve, backend: Backend
) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    asked = body(user=uuid.uuid4().hex, background=True)
    async with serve() as one, serve() as other, sdk(one) as ask:
        created = (await one.post("/v1/responses", json=asked, headers=headers)).json()
        async with asyncio.timeout(10):
            while (await ask.responses.retrieve(created["id"])).status != "completed":
                pass
        again = (await other.post("/v1/responses", json=asked, headers=headers)).json()
    assert (again["id"], again["status"]) == (created["id"], "completed")
    assert len(backend.completions) == 1


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "unsupported_value", "tools"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "unsupported_value", "tools"),
        ({"tool_choice": {"type": "file_search"}}, "unsupported_value", "tool_choice"),
        ({"input": [{"type": "web_search_call", "id": "x"}]}, "unsupported_value", "input"),
        ({"prompt": {"id": "p"}}, "unsupported_value", "prompt"),
        ({"store": False, "background": True}, "validation_error", "background"),
        (
            {"previous_response_id": "resp_" + "0" * 32, "conversation": "conv_" + "0" * 32},
            "validation_error",
            "previous_response_id",
        ),
        ({"previous_response_id": "resp_nope"}, "previous_response_not_found", "previous_response_id"),
        ({"input": []}, "validation_error", "input"),
        ({"input": 7}, "validation_error", "input"),
        ({"temperature": "hot"}, "validation_error", "temperature"),
        ({"metadata": {"a": 1}}, "validation_error", "metadata"),
        ({"model": "nope"}, "model_not_found", "model"),
        ({"user": "a/b"}, "validation_error", "user"),
    ],
)
async def test_what_cannot_be_kept_is_refused(
    serve: Serve, fields: dict[str, Any], code: str, param: str
) -> None:
    async with serve() as client:
        refused = await client.post("/v1/responses", json={**body(), **fields})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (
        404 if code == "model_not_found" else 400,
        code,
        param,
    )


async def test_the_request_is_written_as_a_completion_and_repeated_in_the_response(
    serve: Serve, backend: Backend
) -> None:
    schema = {"type": "object", "properties": {}}
    fields: dict[str, Any] = {
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                ],
            },
            {"role": "developer", "content": "Briefly."},
        ],
        "max_output_tokens": 500,
        "temperature": 0.5,
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "name": "weather"},
        "text": {"format": {"type": "json_schema", "name": "out", "schema": schema, "strict": True}},
        "reasoning": {"effort": "low"},
        "metadata": {"a": "b"},
        "include": ["message.output_text.logprobs"],
        "an_unknown_field": 1,
    }
    async with serve(llm_max_tokens=50) as client:
        response = await create(client, **fields)
    sent = backend.completions[-1].body
    assert sent == {
        "model": "test-model",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {
                        "type": "image_url",
                        "image_url": {"url": "data:image/png;base64,AAAA", "detail": "auto"},
                    },
                ],
            },
            {"role": "system", "content": "Briefly."},
        ],
        "max_tokens": 50,
        "temperature": 0.5,
        "tools": [
            {"type": "function", "function": {name: WEATHER[name] for name in WEATHER if name != "type"}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "out", "schema": schema, "strict": True},
        },
        "reasoning_effort": "low",
        "logprobs": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    Response.model_validate(response)
    assert (response["max_output_tokens"], response["metadata"]) == (500, {"a": "b"})
    assert {
        "completed_at",
        "max_tool_calls",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
    } <= response.keys()


async def test_events_that_are_no_longer_kept_are_refused_but_the_response_is_served(serve: Serve) -> None:
    async with serve(resume_ttl_seconds=0.2) as client:
        created = await create(client)
        async with asyncio.timeout(5):
            while (await client.get(f"/v1/responses/{created['id']}?stream=true")).status_code == 200:
                await asyncio.sleep(0.1)
        refused = await client.get(f"/v1/responses/{created['id']}?stream=true")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "stream")
        found = await client.get(f"/v1/responses/{created['id']}")
        assert found.json() == created
        assert found.headers["x-turn-id"] == created["id"].removeprefix("resp_")


async def test_deleting_a_user_erases_its_responses_the_running_ones_too(
    serve: Serve, backend: Backend, redis: Any
) -> None:
    user = uuid.uuid4().hex
    async with serve() as client:
        ended = await create(client, user=user)
        backend.script = PausedScript(event(chunk("Hel")))
        running = await create(client, user=user, background=True)
        assert (await client.delete(f"/users/{user}")).status_code == 204
        await asyncio.wait_for(backend.completions[-1].hung_up.wait(), 5)
        for created in (ended, running):
            assert (await client.get(f"/v1/responses/{created['id']}")).status_code == 404
            turn_id = created["id"].removeprefix("resp_")
            assert (await client.get(f"/chat/{turn_id}")).status_code == 404
    assert await redis.exists(f"chat:{{{user}}}:responses") == 0
