"""Conversations: listed, opened, deleted, and read from their beginning."""

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.support.backend import Backend, says
from tests.web.chatting import answers, ask, user_of
from tests.web.conftest import Dictation

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_conversations_are_listed_opened_and_deleted(page: Page, backend: Backend) -> None:
    backend.script = says("first answer")
    await ask(page, "First")
    await expect(answers(page)).to_have_text("first answer")
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    backend.script = says("second answer")
    await ask(page, "Second")
    await expect(answers(page)).to_have_text("second answer")
    await page.get_by_role("link", name="default").click()
    await expect(answers(page)).to_have_text("first answer")
    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Delete conversation default").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    await page.go_back()
    await expect(answers(page)).to_have_text("second answer")


async def test_an_answer_goes_on_while_another_conversation_is_open(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say("one ")
    await expect(answers(page)).to_have_text("one")
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    dictation.say("two")
    await page.go_back()
    await expect(answers(page)).to_have_text("one two")
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")
    await expect(page.get_by_role("article")).to_have_count(2)


async def test_earlier_messages_are_fetched_on_demand(
    page: Page, backend: Backend, client: httpx.AsyncClient
) -> None:
    backend.script = says("yes")
    for n in range(30):
        body = {"user_id": await user_of(page), "message": f"Question {n}."}
        assert (await client.post("/chat", json=body)).status_code == 200
    await page.reload()
    await expect(page.get_by_role("article")).to_have_count(50)
    await page.get_by_role("button", name="Earlier messages").click()
    await expect(page.get_by_role("article")).to_have_count(60)
    await expect(page.get_by_role("article").first).to_have_text("Question 0.")
    await expect(page.get_by_role("button", name="Earlier messages")).to_be_hidden()
