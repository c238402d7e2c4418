"""Conversations: listed, opened, deleted, and read from their beginning."""

import httpx
import pytest
from playwright.async_api import Page, Route, expect

from tests.support.backend import Backend, says
from tests.web.chatting import answers, ask, choose, user_of
from tests.web.conftest import Dictation

LOOKED_AT_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"

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
    await page.get_by_role("link", name="First").click()
    await expect(answers(page)).to_have_text("first answer")
    await choose(page, "First", "Delete")
    await page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    await page.go_back()
    await expect(answers(page)).to_have_text("second answer")
    # A yes is for one question only.
    await choose(page, "Second", "Delete")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("alertdialog")).to_be_hidden()
    await page.reload()
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


async def test_everything_about_a_user_can_be_erased_with_the_keyboard(
    page: Page, dictation: Dictation, client: httpx.AsyncClient
) -> None:
    await ask(page)
    dictation.say("so far")
    await expect(answers(page)).to_have_text("so far")
    await page.get_by_role("button", name="Settings").press("Enter")
    erase = page.get_by_role("dialog", name="Settings").get_by_role("button", name="Erase everything")
    question = page.get_by_role("alertdialog", name="Erase everything?")

    await erase.press("Enter")
    await expect(question).to_contain_text(await user_of(page))
    await expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(question).to_be_hidden()
    await expect(erase).to_be_focused()
    await expect(answers(page)).to_have_text("so far")

    await erase.press("Enter")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article")).to_have_count(0)
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("status")).to_have_text("Everything is erased.")
    response = await client.get(f"/users/{await user_of(page)}/conversations")
    assert response.json()["conversations"] == []


async def test_a_deletion_that_fails_says_so_and_can_be_tried_again(page: Page, backend: Backend) -> None:
    backend.script = says("kept")
    await ask(page)
    await expect(page.get_by_role("status")).to_have_text("")
    away = '{"error": {"message": "History is unavailable.", "code": "history_unavailable"}}'

    async def refuse(route: Route) -> None:
        if route.request.method == "DELETE":
            await route.fulfill(status=503, content_type="application/json", body=away)
        else:
            await route.fallback()

    await page.route("**/users/**", refuse)
    await choose(page, "Hi", "Delete")
    await page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("alert")).to_contain_text("History is unavailable.")
    await expect(answers(page)).to_have_text("kept")
    await page.unroute("**/users/**")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_tab_that_is_looked_at_again_shows_what_was_said_elsewhere(
    page: Page, backend: Backend, client: httpx.AsyncClient
) -> None:
    backend.script = says("yes")
    await ask(page)
    await expect(page.get_by_role("status")).to_have_text("")
    body = {"user_id": await user_of(page), "message": "From afar"}
    assert (await client.post("/chat", json=body)).status_code == 200
    await page.evaluate(LOOKED_AT_AGAIN)
    await expect(page.get_by_role("article")).to_have_count(4)
    assert (await client.delete(f"/users/{await user_of(page)}/conversations/default")).status_code == 204
    await page.evaluate(LOOKED_AT_AGAIN)
    await expect(page.get_by_role("article")).to_have_count(0)


async def test_a_conversation_that_is_deleted_elsewhere_in_mid_answer_is_empty(
    page: Page, dictation: Dictation, client: httpx.AsyncClient
) -> None:
    await ask(page)
    dictation.say("gone")
    await expect(answers(page)).to_have_text("gone")
    assert (await client.delete(f"/users/{await user_of(page)}/conversations/default")).status_code == 204
    await expect(page.get_by_role("article")).to_have_count(0)
    await expect(page.get_by_role("status")).to_have_text("")


async def test_another_tab_becomes_another_user_with_this_one(page: Page, backend: Backend) -> None:
    backend.script = says("to the first")
    await ask(page)
    await expect(answers(page)).to_have_text("to the first")
    other = await page.context.new_page()
    await other.goto("/")
    await expect(answers(other)).to_have_text("to the first")
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("User id").fill("Zoë 🚀?#%")
    await page.get_by_role("button", name="Save").click()
    for each in (page, other):
        await expect(each.get_by_role("article")).to_have_count(0)
    backend.script = says("to the second")
    await ask(other)
    await expect(answers(other)).to_have_text("to the second")
    await page.reload()
    await expect(answers(page)).to_have_text("to the second")


async def test_a_user_id_that_no_address_can_have_is_not_taken(page: Page) -> None:
    before = await user_of(page)
    await page.get_by_role("button", name="Settings").click()
    for refused in ("a/b", "..", ""):
        await page.get_by_label("User id").fill(refused)
        await page.get_by_role("button", name="Save").click()
        await expect(page.get_by_role("dialog", name="Settings")).to_be_visible()
    assert await user_of(page) == before


async def test_the_keyboard_stays_where_it_is_while_the_list_changes(
    page: Page, dictation: Dictation
) -> None:
    await ask(page)
    await expect(page.get_by_role("link", name="Hi answering…")).to_be_visible()
    link = page.get_by_role("link", name="Hi")
    await link.focus()
    dictation.end()
    await expect(page.get_by_text("answering…")).to_have_count(0)
    await expect(link).to_be_focused()
