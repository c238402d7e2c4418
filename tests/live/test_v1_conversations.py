"""`/v1/conversations`, asked by the official Python package, and with responses in them."""

import asyncio
import uuid
from typing import Any

import openai
import pytest

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, says
from tests.support.chunks import chunk, event
from tests.support.responses import KEY, OTHER_KEY, WEATHER, body, calls, sdk
from tests.support.sse import chat
from tests.support.turns import PausedScript


def user_message(text: str) -> Any:
    return {"type": "message", "role": "user", "content": text}


def texts(items: Any) -> list[str]:
    return [item.content[0].text for item in items]


async def test_a_conversation_is_created_read_changed_and_deleted(serve: Serve) -> None:
    async with serve() as client, sdk(client) as ask:
        created = await ask.conversations.create(metadata={"topic": "demo"}, items=[user_message("Hi")])
        assert created.id.startswith("conv_")
        assert await ask.conversations.retrieve(created.id) == created
        changed = await ask.conversations.update(created.id, metadata={"topic": "other"})
        assert changed.metadata == {"topic": "other"}
        assert await ask.conversations.retrieve(created.id) == changed
        assert texts((await ask.conversations.items.list(created.id)).data) == ["Hi"]
        assert (await ask.conversations.delete(created.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await ask.conversations.retrieve(created.id)
        with pytest.raises(openai.NotFoundError):
            await ask.conversations.items.list(created.id)


async def test_a_running_response_is_erased_with_its_conversation(serve: Serve, backend: Backend) -> None:
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create()
        running = await ask.responses.create(
            model="test-model", input="Hi", conversation=conversation.id, background=True
        )
        await ask.conversations.delete(conversation.id)
        await asyncio.wait_for(backend.completions[0].hung_up.wait(), 3)
        for path in (running.id, f"{running.id}/input_items"):
            assert (await client.get(f"/v1/responses/{path}")).status_code == 404


async def test_a_conversation_that_is_only_read_expires_as_a_whole(serve: Serve, redis: Any) -> None:
    async with serve(history_ttl_seconds=1000) as client:
        asked = {"metadata": {"a": "b"}, "items": [user_message("Hi")], "user": uuid.uuid4().hex}
        created = await client.post("/v1/conversations", json=asked)
        name = created.json()["id"]
        left = [key async for key in redis.scan_iter(f"*{name}*")]
        left += [key async for key in redis.scan_iter("*:conversations") if await redis.zscore(key, name)]
        assert len(left) >= 4
        for key in left:
            await redis.expire(key, 10)
        assert (await client.get(f"/v1/conversations/{name}")).status_code == 200
        assert [key for key in left if await redis.ttl(key) < 900] == []


async def test_items_are_added_listed_in_pages_read_and_deleted(serve: Serve) -> None:
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create()
        assert (await ask.conversations.items.list(conversation.id)).data == []
        added = await ask.conversations.items.create(
            conversation.id, items=[user_message(text) for text in "abcde"]
        )
        assert texts(added.data) == list("abcde")
        newest = await ask.conversations.items.list(conversation.id, limit=2)
        assert (texts(newest.data), newest.has_more) == (["e", "d"], True)
        oldest = [item async for item in ask.conversations.items.list(conversation.id, limit=2, order="asc")]
        assert texts(oldest) == list("abcde")
        item = await ask.conversations.items.retrieve(oldest[1].id or "", conversation_id=conversation.id)
        assert item == oldest[1]
        await ask.conversations.items.delete(item.id or "", conversation_id=conversation.id)
        with pytest.raises(openai.NotFoundError):
            await ask.conversations.items.retrieve(item.id or "", conversation_id=conversation.id)
        left = [each async for each in ask.conversations.items.list(conversation.id, order="asc")]
        assert texts(left) == list("acde")
        with pytest.raises(openai.NotFoundError):
            await ask.conversations.items.list(conversation.id, after="msg_nope")
        with pytest.raises(openai.BadRequestError):
            await ask.conversations.items.list(conversation.id, limit=101)


async def test_a_response_reads_its_conversation_and_appends_to_it_on_any_replica(
    serve: Serve, backend: Backend
) -> None:
    async with serve() as one, serve() as other, sdk(one) as ask, sdk(other) as too:
        conversation = await ask.conversations.create(items=[user_message("I am Ada.")])
        backend.script = says("Hello Ada")
        first = await ask.responses.create(model="test-model", input="Hi", conversation=conversation.id)
        assert first.conversation is not None
        assert first.conversation.id == conversation.id
        backend.script = says("Ada")
        await too.responses.create(model="test-model", input="My name?", conversation={"id": conversation.id})
        said = [message["content"] for message in backend.completions[-1].body["messages"]]
        assert said == ["I am Ada.", "Hi", "Hello Ada", "My name?"]
        items = [item async for item in ask.conversations.items.list(conversation.id, order="asc", limit=3)]
        assert texts(items) == [*said, "Ada"]
        assert items[2].id == first.output[0].id


async def test_a_chain_that_begins_in_a_conversation_holds_what_was_said_there(
    serve: Serve, backend: Backend
) -> None:
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create(items=[user_message("I am Ada.")])
        first = await ask.responses.create(model="test-model", input="Hi", conversation=conversation.id)
        await ask.responses.create(model="test-model", input="Later", conversation=conversation.id)
        await ask.responses.create(model="test-model", input="Fork", previous_response_id=first.id)
    said = [message["content"] for message in backend.completions[-1].body["messages"]]
    assert said == ["I am Ada.", "Hi", "Hello, world", "Fork"]


async def test_a_question_of_chat_does_not_replace_a_response_in_the_background(
    serve: Serve, backend: Backend
) -> None:
    user = uuid.uuid4().hex
    backend.script = PausedScript(event(chunk("Hel")))
    async with serve(resume_grace_seconds=0) as client, sdk(client) as ask:
        conversation = await ask.conversations.create(extra_body={"user": user})
        await ask.responses.create(
            model="test-model", input="Hi", conversation=conversation.id, background=True
        )
        question = {"user_id": user, "message": "Hi", "conversation_id": conversation.id}
        assert (await client.post("/chat", json=question)).status_code == 409


async def test_a_conversation_runs_one_response_at_a_time_read_or_not(serve: Serve, backend: Backend) -> None:
    script = PausedScript(event(chunk("Hel")))
    backend.script = script
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create()
        running = await ask.responses.create(
            model="test-model", input="Hi", conversation=conversation.id, background=True
        )
        refused = await client.post("/v1/responses", json=body(conversation=conversation.id))
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conversation_busy")
        assert refused.headers["x-should-retry"] == "false"
        script.go_on.set()
        async with asyncio.timeout(10):
            while (await ask.responses.retrieve(running.id)).status != "completed":
                pass
        await ask.responses.create(model="test-model", input="Again", conversation=conversation.id)


async def test_messages_of_a_conversation_are_those_of_its_user_and_go_with_the_user(
    serve: Serve, redis: Any
) -> None:
    user = uuid.uuid4().hex
    async with serve() as client, sdk(client) as ask:
        empty = await ask.conversations.create(extra_body={"user": user})
        conversation = await ask.conversations.create(
            items=[user_message("One")], extra_body={"user": user}, metadata={"secret": "text"}
        )
        answered = await ask.responses.create(model="test-model", input="Two", conversation=conversation.id)
        listed = (await client.get(f"/users/{user}/conversations")).json()["conversations"]
        assert {each["conversation_id"] for each in listed} == {empty.id, conversation.id}
        page = (await client.get(f"/users/{user}/conversations/{conversation.id}")).json()
        assert [(each["role"], each["content"]) for each in page["messages"]] == [
            ("user", "One"),
            ("user", "Two"),
            ("assistant", "Hello, world"),
        ]
        assert (await client.delete(f"/users/{user}")).status_code == 204
        for path in (
            f"conversations/{conversation.id}",
            f"conversations/{empty.id}",
            f"responses/{answered.id}",
        ):
            assert (await client.get(f"/v1/{path}")).status_code == 404
    left = {key.decode().split(":")[2] for key in await redis.keys(f"chat:{{{user}}}:*")}
    assert left <= {"closed", "started-turns"}


async def test_a_deleted_item_is_gone_from_the_messages_and_from_later_prompts(
    serve: Serve, backend: Backend
) -> None:
    user = uuid.uuid4().hex
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create(
            items=[user_message("One"), user_message("Two")], extra_body={"user": user}
        )
        asked: Any = [user_message("Three"), user_message("Four")]
        await ask.responses.create(model="test-model", input=asked, conversation=conversation.id)
        items = [item async for item in ask.conversations.items.list(conversation.id, order="asc")]
        for item in (items[0], items[2]):
            await ask.conversations.items.delete(item.id or "", conversation_id=conversation.id)
        page = (await client.get(f"/users/{user}/conversations/{conversation.id}")).json()
        said = [each["content"] for each in page["messages"]]
        assert said == ["Two", "Four", "Hello, world"]
        await ask.responses.create(model="test-model", input="Five", conversation=conversation.id)
    sent = [message["content"] for message in backend.completions[-1].body["messages"]]
    assert sent == [*said, "Five"]


async def test_a_turn_of_chat_in_such_a_conversation_adds_its_items(serve: Serve) -> None:
    user = uuid.uuid4().hex
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create(extra_body={"user": user})
        await chat(client, "Hi", user_id=user, conversation_id=conversation.id)
        items = [item async for item in ask.conversations.items.list(conversation.id, order="asc")]
    assert texts(items) == ["Hi", "Hello, world"]


async def test_a_turn_that_only_calls_functions_adds_items_but_no_blank_message(
    serve: Serve, backend: Backend
) -> None:
    user = uuid.uuid4().hex
    call = {"index": 0, "id": "a", "function": {"name": "weather", "arguments": "{}"}}

    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*calls(call))

    backend.script = script
    output: Any = [{"type": "function_call_output", "call_id": "a", "output": "sun"}]
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create(extra_body={"user": user})
        await ask.responses.create(
            model="test-model", input="Weather?", conversation=conversation.id, tools=[WEATHER]
        )
        backend.script = says("Sunny")
        await ask.responses.create(
            model="test-model", input=output, conversation=conversation.id, tools=[WEATHER]
        )
        page = (await client.get(f"/users/{user}/conversations/{conversation.id}")).json()
        assert [each["content"] for each in page["messages"]] == ["Weather?", "Sunny"]
        items = [item async for item in ask.conversations.items.list(conversation.id, order="asc")]
        kinds = ["message", "function_call", "function_call_output", "message"]
        assert [item.type for item in items] == kinds
    roles = [message["role"] for message in backend.completions[-1].body["messages"]]
    assert roles == ["user", "assistant", "tool"]


async def test_a_conversation_of_one_credential_is_unknown_to_another(serve: Serve) -> None:
    keys = (KEY, OTHER_KEY)
    async with serve(api_keys=keys) as client, sdk(client) as mine, sdk(client, OTHER_KEY) as other:
        conversation = await mine.conversations.create()
        with pytest.raises(openai.NotFoundError):
            await other.conversations.retrieve(conversation.id)
        with pytest.raises(openai.NotFoundError):
            await other.conversations.items.create(conversation.id, items=[user_message("Hi")])
        with pytest.raises(openai.NotFoundError):
            await other.responses.create(model="test-model", input="Hi", conversation=conversation.id)


async def test_truncation_leaves_older_turns_out_only_if_it_is_auto(serve: Serve, backend: Backend) -> None:
    async def script(exchange: Any) -> None:
        if len(exchange.body["messages"]) > 3:
            error = "This model's maximum context length is 30 tokens. Your messages resulted in 40 tokens."
            await exchange.json(400, {"error": {"message": error, "code": "context_length_exceeded"}})
        else:
            await says("Short")(exchange)

    backend.script = script
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create(items=[user_message(text * 50) for text in "abcd"])
        with pytest.raises(openai.BadRequestError) as refused:
            await ask.responses.create(model="test-model", input="Hi", conversation=conversation.id)
        assert refused.value.code == "context_length_exceeded"
        answered = await ask.responses.create(
            model="test-model", input="Hi", conversation=conversation.id, truncation="auto"
        )
        assert answered.output_text == "Short"


async def test_a_repeated_key_attaches_although_the_conversation_has_grown(
    serve: Serve, backend: Backend
) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    async with serve() as one, serve() as other, sdk(one) as ask:
        conversation = await ask.conversations.create()
        first = await one.post("/v1/responses", json=body(conversation=conversation.id), headers=headers)
        again = await other.post("/v1/responses", json=body(conversation=conversation.id), headers=headers)
    assert first.json() == again.json()
    assert len(backend.completions) == 1


@pytest.mark.parametrize(
    ("path", "content", "param"),
    [
        ("", {"metadata": {"a": 1}}, "metadata"),
        ("", {"items": [{"type": "web_search_call"}]}, "items"),
        ("", {"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ("/{id}", {}, "metadata"),
        ("/{id}/items", {"items": []}, "items"),
    ],
)
async def test_what_is_no_conversation_is_refused(
    serve: Serve, path: str, content: dict[str, Any], param: str
) -> None:
    async with serve() as client, sdk(client) as ask:
        conversation = await ask.conversations.create()
        refused = await client.post(f"/v1/conversations{path.format(id=conversation.id)}", json=content)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param), refused.text
