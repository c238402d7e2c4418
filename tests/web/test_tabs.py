"""Several tabs of one browser."""

import asyncio

import httpx
import pytest
from playwright.async_api import Page, expect

from app.main import create_app
from tests.support.backend import Backend, says
from tests.support.service import serving, settings_for
from tests.web.chatting import answers, ask, choose, has_ended, hide
from tests.web.conftest import Dictation

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def other_tab(page: Page) -> Page:
    other = await page.context.new_page()
    await other.goto("/")
    return other


async def test_a_question_of_one_tab_appears_in_the_other_and_so_does_its_answer(
    page: Page, dictation: Dictation
) -> None:
    other = await other_tab(page)
    await expect(other.get_by_role("region", name="What would you like to know?")).to_be_visible()
    await ask(page, "From the first tab")
    dictation.say("one ")
    await expect(other.get_by_role("article", name="Question")).to_have_text("From the first tab")
    await expect(answers(other)).to_have_text("one")
    await expect(other.get_by_role("link", name="From the first tab answering…")).to_be_visible()
    dictation.say("two")
    dictation.end()
    for each in (page, other):
        await expect(answers(each)).to_have_text("one two")
        await has_ended(each)


async def test_a_conversation_that_is_deleted_in_one_tab_is_gone_in_the_other(
    page: Page, backend: Backend
) -> None:
    backend.script = says("yes")
    await ask(page)
    await has_ended(page)
    other = await other_tab(page)
    await expect(answers(other)).to_have_text("yes")
    await choose(page, "Hi", "Delete")
    await page.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    await expect(other.get_by_role("article")).to_have_count(0)


async def test_without_broadcasts_a_tab_catches_up_when_it_has_the_focus(
    page: Page, backend: Backend
) -> None:
    backend.script = says("yes")
    await page.context.add_init_script("delete window.BroadcastChannel")
    other = await other_tab(page)
    await expect(other.get_by_role("region", name="What would you like to know?")).to_be_visible()
    await ask(page)
    await has_ended(page)
    await other.evaluate("dispatchEvent(new Event('focus'))")
    await expect(answers(other)).to_have_text("yes")


async def readers(client: httpx.AsyncClient) -> float:
    """Return how many streams the service serves."""
    lines = (await client.get("/metrics")).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("chat_readers "))


async def test_a_hidden_tab_holds_no_connection_and_goes_on_once_it_is_seen(
    page: Page, dictation: Dictation, client: httpx.AsyncClient
) -> None:
    await ask(page)
    dictation.say("one ")
    await expect(answers(page)).to_have_text("one")
    assert await readers(client) == 1
    await hide(page, is_hidden=True)
    async with asyncio.timeout(10):
        while await readers(client):
            await asyncio.sleep(0.02)
    dictation.say("two ")
    await hide(page, is_hidden=False)
    await expect(answers(page)).to_have_text("one two")
    dictation.say("three")
    dictation.end()
    await expect(answers(page)).to_have_text("one two three")
    await has_ended(page)


async def test_a_hidden_tab_looks_in_now_and_then_so_that_its_turn_is_not_taken_for_left(
    page: Page, dictation: Dictation
) -> None:
    await page.clock.install()
    await page.reload()
    await ask(page)
    dictation.say("one ")
    await page.clock.run_for(1000)
    await expect(answers(page)).to_have_text("one")
    await hide(page, is_hidden=True)
    async with page.expect_request("**/chat/*"):
        await page.clock.run_for(21_000)
    await page.clock.run_for(3000)
    await hide(page, is_hidden=False)
    dictation.end()
    await page.clock.run_for(3000)
    await has_ended(page)


async def test_a_question_that_is_still_being_taken_is_not_withdrawn_by_hiding_its_tab(
    page: Page, dictation: Dictation, backend: Backend
) -> None:
    await ask(page)
    await expect(page.get_by_role("status")).to_have_text("Answering…")
    async with asyncio.timeout(10):
        while not backend.completions:
            await asyncio.sleep(0.02)
    await hide(page, is_hidden=True)
    dictation.say("late")
    dictation.end()
    await hide(page, is_hidden=False)
    await expect(answers(page)).to_have_text("late")
    assert len(backend.completions) == 1


async def test_stop_works_in_the_sixth_tab_although_all_connections_are_taken(
    page: Page, backend: Backend, valkey_url: str
) -> None:
    """Browsers have six to a host on HTTP/1.1. Here all tabs are seen, as in windows side by side."""
    settings = settings_for(llm_base_url=backend.url, redis_url=valkey_url, max_active_turns_per_user=0)
    async with serving(create_app(settings)) as client:
        await stop_in_the_sixth_tab(page, backend, str(client.base_url))


async def stop_in_the_sixth_tab(page: Page, backend: Backend, address: str) -> None:
    tabs = [await page.context.new_page() for _ in range(6)]
    for tab in tabs:
        await tab.goto(address)
    backends = []
    for n, tab in enumerate(tabs):
        await tab.evaluate("(id) => { location.hash = id; }", f"tab-{n}")
        backend.script = dictation = Dictation()
        backends.append(dictation)
        await ask(tab)
        dictation.say("so far")
        await expect(answers(tab)).to_have_text("so far")
    await tabs[-1].get_by_role("button", name="Stop").click()
    await expect(answers(tabs[-1])).to_contain_text("so far")
    await has_ended(tabs[-1])
    for dictation in backends:
        dictation.end()
    for tab in tabs:
        await tab.close()
