"""Keys, users and titles in the page."""

from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Page, expect

from app.main import create_app
from tests.support.backend import Backend, says
from tests.support.service import serving, settings_for
from tests.web.chatting import answers, ask, choose, has_ended, user_of
from tests.web.conftest import session_loop_fixture

pytestmark = pytest.mark.asyncio(loop_scope="session")

KEY = "a-key-of-at-least-16"


@session_loop_fixture
async def locked(backend: Backend, valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service with a key that is bound to a user."""
    settings = settings_for(llm_base_url=backend.url, redis_url=valkey_url, api_keys=f"{KEY}=alice")
    async with serving(create_app(settings)) as client:
        client.headers["Authorization"] = f"Bearer {KEY}"
        await client.delete("/users/alice")
        yield client


async def test_with_a_bound_key_the_page_speaks_for_the_keys_user(
    page: Page, locked: httpx.AsyncClient, backend: Backend
) -> None:
    await page.goto(str(locked.base_url))
    dialog = page.get_by_role("dialog", name="Settings")
    await expect(dialog.get_by_label("Key or token")).to_be_focused()
    await page.keyboard.type(KEY)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("region", name="What would you like to know?")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)
    backend.script = says("for alice")
    await ask(page)
    await expect(answers(page)).to_have_text("for alice")
    listed = (await locked.get("/users/alice/conversations")).json()["conversations"]
    assert [each["title"] for each in listed] == ["Hi"]
    await page.get_by_role("button", name="Settings").click()
    await expect(dialog.get_by_label("User id")).to_have_value("alice")
    await expect(dialog.get_by_label("User id")).not_to_be_editable()
    await expect(dialog).to_contain_text("Your key belongs to this user.")
    await page.reload()
    await expect(answers(page)).to_have_text("for alice")


async def test_a_conversation_is_called_by_its_question_until_it_is_renamed(
    page: Page, backend: Backend
) -> None:
    backend.script = says("yes")
    await ask(page, "Why is the sky blue, and why is it not green?")
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text("Why is the sky blue, and why is…")
    await has_ended(page)
    await choose(page, "Why is the sky blue, and why is…", "Rename")
    dialog = page.get_by_role("dialog", name="Rename the conversation")
    await dialog.get_by_label("Title").fill("The sky <b>")
    await page.keyboard.press("Enter")
    await expect(heading).to_have_text("The sky <b>")
    await page.reload()
    await expect(page.get_by_role("link", name="The sky <b>")).to_be_visible()
    await expect(page).to_have_title("The sky <b> · Chat")
    await choose(page, "The sky <b>", "Rename")
    await dialog.get_by_label("Title").fill("not this")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(heading).to_have_text("The sky <b>")


async def test_titles_are_searched_also_those_that_are_not_listed_yet(
    page: Page, client: httpx.AsyncClient
) -> None:
    user_id = await user_of(page)
    for n in range(60):
        body = {"user_id": user_id, "conversation_id": f"c{n}", "message": f"About number {n}"}
        assert (await client.post("/chat", json=body)).status_code == 200
    await page.reload()
    links = page.get_by_role("navigation").get_by_role("link")
    await expect(links).to_have_count(51)
    await page.get_by_label("Search in titles").fill("NUMBER 3")
    await expect(links).to_have_count(11)
    await page.get_by_label("Search in titles").fill("nothing has this")
    await expect(page.get_by_text("No title has that.")).to_be_visible()
    await page.get_by_label("Search in titles").fill("")
    await expect(links).to_have_count(61)


async def test_a_running_first_answer_is_told_in_the_list(page: Page, backend: Backend) -> None:
    backend.script = says("slow")
    await page.route("**/chat", lambda _: None)  # it is asked, and nothing comes
    await ask(page, "A long question")
    await expect(page.get_by_role("link", name="A long question answering…")).to_be_visible()
    await page.unroute("**/chat")
