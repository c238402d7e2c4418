"""Reloads, lines that drop, and what other devices have asked."""

import asyncio

import httpx
import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.backend import Backend
from tests.support.proxy import proxy_to
from tests.web.chatting import answers, ask, kept, user_of
from tests.web.conftest import Dictation

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORDS = [f"word{n} " for n in range(60)]


async def test_a_reload_in_mid_answer_loses_and_doubles_nothing(
    page: Page, dictation: Dictation, client: httpx.AsyncClient
) -> None:
    await ask(page)
    dictation.say(*WORDS[:20])
    await expect(answers(page)).to_have_text("".join(WORDS[:20]).strip())
    async with page.expect_request("**/chat/*") as resumed:
        reloading = asyncio.create_task(page.reload())
        dictation.say(*WORDS[20:40])
        await reloading
    assert (await (await resumed.value).all_headers())["last-event-id"].rpartition("-")[2].isdigit()
    dictation.say(*WORDS[40:])
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")
    await expect(answers(page)).to_have_text("".join(WORDS).strip())
    await expect(page.get_by_role("article")).to_have_count(2)
    assert await kept(page, client) == [("Hi", None), ("".join(WORDS), "complete")]


async def test_a_reload_before_the_first_word_still_brings_the_answer(
    page: Page, dictation: Dictation, client: httpx.AsyncClient
) -> None:
    await ask(page)
    await expect(page.get_by_role("status")).to_have_text("Answering…")
    await page.reload()
    dictation.say("late")
    dictation.end()
    await expect(answers(page)).to_have_text("late")
    await expect(page.get_by_role("status")).to_have_text("")
    assert [content for content, _ in await kept(page, client)] == ["Hi", "late"]


async def test_a_line_that_drops_is_taken_up_where_it_broke(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say(*WORDS[:20])
    await expect(answers(page)).to_have_text("".join(WORDS[:20]).strip())
    await page.context.set_offline(offline=True)
    await expect(page.get_by_role("status")).to_have_text("Connection lost. Reconnecting…")
    dictation.say(*WORDS[20:])
    dictation.end()
    await page.context.set_offline(offline=False)
    await expect(page.get_by_role("status")).to_have_text("")
    await expect(answers(page)).to_have_text("".join(WORDS).strip())


async def test_a_question_asked_offline_is_answered_once_back(
    page: Page, dictation: Dictation, backend: Backend
) -> None:
    dictation.say("back")
    dictation.end()
    await page.context.set_offline(offline=True)
    await ask(page)
    await expect(page.get_by_role("status")).to_have_text("Connection lost. Reconnecting…")
    await page.context.set_offline(offline=False)
    await expect(answers(page)).to_have_text("back")
    assert len(backend.completions) == 1


async def test_a_turn_that_is_no_longer_kept_is_read_from_the_conversation(
    page: Page, dictation: Dictation
) -> None:
    await ask(page)
    dictation.say("gone, ")
    await expect(answers(page)).to_have_text("gone,")
    expired = '{"error": {"message": "Expired.", "code": "turn_expired"}}'
    await page.route(
        "**/chat/*", lambda route: route.fulfill(status=410, content_type="application/json", body=expired)
    )
    await page.context.set_offline(offline=True)
    dictation.say("and kept")
    dictation.end()
    await page.context.set_offline(offline=False)
    await expect(answers(page)).to_have_text("gone, and kept")


async def test_a_turn_of_another_device_is_followed(
    page: Page, dictation: Dictation, client: httpx.AsyncClient
) -> None:
    body = {"user_id": await user_of(page), "message": "From afar"}
    dictation.say("one ")
    async with client.stream("POST", "/chat", json=body):
        await page.reload()
        await expect(page.get_by_role("article", name="Question")).to_have_text("From afar")
        dictation.say("two")
        await expect(answers(page)).to_have_text("one two")
        dictation.end()
        await expect(page.get_by_role("status")).to_have_text("")


async def test_a_busy_conversation_offers_its_running_answer(
    page: Page, dictation: Dictation, client: httpx.AsyncClient
) -> None:
    body = {"user_id": await user_of(page), "message": "From afar"}
    dictation.say("theirs")
    async with client.stream("POST", "/chat", json=body):
        await ask(page, "Mine")
        await page.get_by_role("button", name="Show the running answer").click()
        await expect(answers(page)).to_have_text("theirs")
        await expect(page.get_by_label("Message", exact=True)).to_have_value("Mine")
        dictation.end()
        await expect(page.get_by_role("status")).to_have_text("")


async def test_a_busy_conversation_can_be_interrupted(
    page: Page, backend: Backend, client: httpx.AsyncClient
) -> None:
    backend.script = theirs = Dictation()
    theirs.say("theirs")
    body = {"user_id": await user_of(page), "message": "From afar"}
    async with client.stream("POST", "/chat", json=body):
        backend.script = mine = Dictation()
        mine.say("mine")
        mine.end()
        await ask(page, "Mine")
        await page.get_by_role("button", name="Interrupt it and ask").click()
        await expect(answers(page).last).to_have_text("mine")
        await expect(page.get_by_role("status")).to_have_text("")
    assert [status for _, status in await kept(page, client)] == [None, "interrupted", None, "complete"]


async def test_a_line_that_is_reset_is_taken_up_where_it_broke(
    browser: Browser, client: httpx.AsyncClient, dictation: Dictation
) -> None:
    async with (
        proxy_to(("127.0.0.1", client.base_url.port or 0)) as proxy,
        await browser.new_context(base_url=f"http://127.0.0.1:{proxy.port}") as context,
    ):
        page = await context.new_page()
        await page.goto("/")
        proxy.slice_bytes = 7
        await ask(page)
        for start in range(0, 60, 20):
            dictation.say(*WORDS[start : start + 20])
            await expect(answers(page)).to_contain_text(WORDS[start])
            proxy.reset()
        dictation.end()
        await expect(page.get_by_role("status")).to_have_text("")
        await expect(answers(page)).to_have_text("".join(WORDS).strip())


async def test_a_page_that_was_left_and_gone_back_to_goes_on(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say("one ")
    await expect(answers(page)).to_have_text("one")
    await page.goto("/health")
    dictation.say("two")
    await page.go_back()
    await expect(answers(page)).to_have_text("one two")
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")


async def test_a_tab_that_is_opened_again_too_late_reads_the_conversation(
    page: Page, dictation: Dictation
) -> None:
    await ask(page)
    dictation.say("whole")
    await expect(answers(page)).to_have_text("whole")
    turns = await page.evaluate("dispatchEvent(new Event('pagehide')), sessionStorage['chat.turns']")
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")
    expired = '{"error": {"message": "Expired.", "code": "turn_expired"}}'
    await page.route(
        "**/chat/*", lambda route: route.fulfill(status=410, content_type="application/json", body=expired)
    )
    await page.evaluate("(turns) => { sessionStorage['chat.turns'] = turns; }", turns)
    await page.reload()
    await expect(page.get_by_role("article")).to_have_count(2)
    await expect(page.get_by_role("status")).to_have_text("")
    await expect(answers(page)).to_have_text("whole")
