"""Titles of conversations, and whose key a key is, over HTTP."""

import uuid

import pytest

from tests.live.conftest import Serve

KEY = "a-key-of-at-least-16"
BOUND_KEY = "another-key-of-at-least-16"


async def test_a_conversation_is_listed_with_its_first_words_until_it_is_renamed(serve: Serve) -> None:
    user_id = uuid.uuid4().hex
    async with serve() as client:
        body = {"user_id": user_id, "message": "Why is the sky blue, and why not green?"}
        assert (await client.post("/chat", json=body)).status_code == 200
        listed = await client.get(f"/users/{user_id}/conversations")
        assert listed.json()["conversations"][0]["title"] == "Why is the sky blue, and why not…"
        path = f"/users/{user_id}/conversations/default"
        renamed = await client.patch(path, json={"title": " The sky "})
        assert (renamed.status_code, renamed.json()) == (
            200,
            {"conversation_id": "default", "title": "The sky"},
        )
        listed = await client.get(f"/users/{user_id}/conversations")
        assert listed.json()["conversations"][0]["title"] == "The sky"
        assert (await client.delete(path)).status_code == 204
        response = await client.patch(path, json={"title": "Back"})
        assert (response.status_code, response.json()["error"]["code"]) == (404, "conversation_not_found")


@pytest.mark.parametrize("title", ["", "  ", "x" * 101, "a\nb", None, 1])
async def test_what_is_no_title_is_refused(serve: Serve, title: object) -> None:
    async with serve() as client:
        response = await client.patch("/users/u/conversations/c", json={"title": title})
    assert (response.status_code, response.json()["error"]["param"]) == (422, "title")


async def test_a_key_is_told_whose_it_is_and_which_models_there_are(serve: Serve) -> None:
    async with serve(
        api_keys=f"{KEY},{BOUND_KEY}=alice", llm_model="one", llm_allowed_models="two"
    ) as client:
        assert (await client.get("/account")).status_code == 401
        accounts = [
            (await client.get("/account", headers={"Authorization": f"Bearer {key}"})).json()
            for key in (KEY, BOUND_KEY)
        ]
    common = {"models": ["one", "two"], "default_model": "one"}
    assert accounts == [{"user_id": None, **common}, {"user_id": "alice", **common}]


async def test_nobody_renames_another_users_conversation(serve: Serve) -> None:
    async with serve(api_keys=f"{BOUND_KEY}=alice") as client:
        response = await client.patch(
            "/users/bob/conversations/default",
            json={"title": "Mine"},
            headers={"Authorization": f"Bearer {BOUND_KEY}"},
        )
    assert (response.status_code, response.json()["error"]["code"]) == (403, "forbidden")
