"""A conversation goes on after any turn, however strict its backend is (field cases 3.1 to 3.4, and 3.6)."""

from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.live.conftest import Serve
from tests.support.backend import Backend, Exchange, says
from tests.support.chunks import DONE, chunk, event
from tests.support.sse import chat
from tests.support.store import stored_messages
from tests.support.turns import PausedScript, begin, turn_of


def fault_of(messages: Sequence[dict[str, str]]) -> str:
    """What the strictest template, or a content filter, has against a prompt."""
    roles = [message["role"] for message in messages if message["role"] != "system"]
    if roles != [("user", "assistant")[n % 2] for n in range(len(roles))] or roles[-1] != "user":
        return "Conversation roles must alternate user/assistant/user/assistant/..."
    if not all(message["content"].strip() for message in messages):
        return "all messages must have non-empty content"
    if any("forbidden" in message["content"] for message in messages):
        return "Content Exists Risk"
    return ""


async def strict(exchange: Exchange) -> None:
    if fault := fault_of(exchange.body["messages"]):
        await exchange.json(400, {"error": {"message": fault}})
    else:
        await says("Hello")(exchange)


def answers(*deltas: dict[str, Any], finish_reason: str = "stop") -> bytes:
    parts = [chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    return b"".join(map(event, [*parts, chunk(finish_reason=finish_reason)])) + DONE


@pytest.mark.parametrize(
    ("first", "stored", "sent"),
    [
        (answers({"content": "\n\n"}), "\n\n", None),
        (answers({"content": "<think>hm"}), "<think>hm", None),
        (answers({"reasoning_content": "hm"}), "", None),
        (answers({"content": "forbidden half"}, finish_reason="content_filter"), "forbidden half", None),
        (answers({"content": "forbidden half"}, finish_reason="SAFETY"), "forbidden half", None),
        (
            answers(*({"content": part} for part in ("<thi", "nk>\nfirst I", " add</th", "ink>\n\n**4**"))),
            "<think>\nfirst I add</think>\n\n**4**",
            "**4**",
        ),
        (
            answers({"refusal": "I can't help with that."}),
            "I can't help with that.",
            "I can't help with that.",
        ),
        (answers({"content": "cut in the"}, finish_reason="length"), "cut in the", "cut in the"),
    ],
)
async def test_a_conversation_goes_on_after_an_odd_answer(
    serve: Serve, backend: Backend, redis: Redis, user: str, first: bytes, stored: str, sent: str | None
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(first)

    backend.script = script
    async with serve() as client:
        await chat(client, "One", user_id=user)
        assert (await stored_messages(redis, user))[1]["content"] == stored
        backend.script = strict
        assert (await chat(client, "Two", user_id=user))[-1].data == "[DONE]"
    prompt = [message["content"] for message in backend.completions[-1].body["messages"][1:]]
    assert prompt == (["Two"] if sent is None else ["One", sent, "Two"])
    assert len(backend.completions) == 2, "no prompt was refused"
    assert len(await stored_messages(redis, user)) == 4


async def test_a_conversation_goes_on_after_an_answer_was_stopped_before_its_first_word(
    serve: Serve, backend: Backend, user: str
) -> None:
    role = chunk(choices=[{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}])
    backend.script = PausedScript(event(role))
    async with serve() as client:
        running = begin(client, user)
        turn_id = turn_of(await anext(running))
        assert (await client.delete(f"/chat/{turn_id}")).json()["status"] == "stopped"
        assert [each async for each in running][-1].data == "[DONE]"
        backend.script = strict
        assert (await chat(client, "Two", user_id=user))[-1].data == "[DONE]"


async def test_a_content_refusal_is_tried_once_without_the_history(
    serve: Serve, backend: Backend, user: str
) -> None:
    async with serve() as client:
        await chat(client, "a forbidden question", user_id=user)
        backend.script = strict
        assert (await chat(client, "Two", user_id=user))[-1].data == "[DONE]"
        refused = await client.post("/chat", json={"user_id": user, "message": "forbidden"})
        assert refused.status_code == 400
    prompts = [len(each.body["messages"]) for each in backend.completions[1:]]
    assert prompts == [4, 2, 6, 2]
