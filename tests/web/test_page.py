"""Chatting in a browser: streams, stops, reloads, lines that drop, and a service that says no."""

import asyncio
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.backend import Backend, Exchange
from tests.support.chunks import answer
from tests.web.conftest import Dictation

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORDS = [f"word{n} " for n in range(60)]

WATCH_SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((each) => each.value)))
    .observe({ type: "layout-shift" });
}"""


def answers(page: Page) -> Locator:
    return page.get_by_role("article", name="Answer")


async def ask(page: Page, message: str = "Hi") -> None:
    await page.get_by_label("Message", exact=True).fill(message)
    await page.keyboard.press("Enter")


async def user_of(page: Page) -> str:
    user: str = await page.evaluate("localStorage['chat.user']")
    return user


async def kept(page: Page, client: httpx.AsyncClient) -> list[tuple[str, str | None]]:
    """What the service keeps of the conversation: content and status."""
    response = await client.get(f"/users/{await user_of(page)}/conversations/default")
    return [(each["content"], each.get("status")) for each in response.json()["messages"]]


async def test_an_answer_appears_word_by_word(
    page: Page, dictation: Dictation, client: httpx.AsyncClient
) -> None:
    await ask(page)
    await expect(page.get_by_role("article", name="Question")).to_have_text("Hi")
    for words in ("one ", "one two ", "one two three"):
        dictation.say(words.split()[-1] + " ")
        await expect(answers(page)).to_have_text(words.strip())
        await expect(page.get_by_role("status")).to_have_text("Answering…")
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")
    assert await kept(page, client) == [("Hi", None), ("one two three ", "complete")]


async def test_a_whole_answer_is_read_out_once(page: Page, dictation: Dictation) -> None:
    spoken = page.locator("#announcer")
    await ask(page)
    dictation.say("one ", "two")
    await expect(answers(page)).to_have_text("one two")
    await expect(spoken).to_be_empty()
    dictation.end()
    await expect(spoken).to_have_text("one two")


async def test_stop_keeps_what_was_said(page: Page, dictation: Dictation, client: httpx.AsyncClient) -> None:
    await ask(page)
    dictation.say("so far")
    await expect(answers(page)).to_have_text("so far")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert await kept(page, client) == [("Hi", None), ("so far", "stopped")]
    await page.reload()
    await expect(answers(page)).to_contain_text("Stopped.")


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


async def test_an_answer_that_breaks_off_says_so(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say("half an")
    await expect(answers(page)).to_have_text("half an")
    dictation.cut()
    await expect(answers(page).get_by_role("alert")).to_contain_text("not the whole answer")
    await page.reload()
    await expect(answers(page)).to_contain_text("not the whole answer")


async def test_a_question_that_was_not_taken_can_be_asked_again(page: Page, backend: Backend) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.json(500, {"error": {"message": "broken"}})

    backend.script = refuse
    await ask(page, "Hello?")
    await expect(page.get_by_role("alert")).to_be_visible()
    backend.script = dictation = Dictation()
    dictation.say("mended")
    dictation.end()
    await page.get_by_role("button", name="Try again").click()
    await expect(answers(page)).to_have_text("mended")
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_key_that_is_wanted_is_asked_for(page: Page) -> None:
    body = '{"error": {"message": "A key is wanted.", "code": "invalid_api_key"}}'
    keys: list[str | None] = []

    async def refuse(route: Any) -> None:
        keys.append(await route.request.header_value("authorization"))
        await route.fulfill(status=401, content_type="application/json", body=body)

    await page.route("**/users/**", refuse)
    await page.reload()
    dialog = page.get_by_role("dialog", name="Settings")
    await dialog.get_by_label("Key or token").fill("a-key-of-at-least-16")
    await page.unroute("**/users/**")
    async with page.expect_request("**/users/**") as request:
        await dialog.get_by_role("button", name="Save").click()
    assert await (await request.value).header_value("authorization") == "Bearer a-key-of-at-least-16"
    assert set(keys) == {None}
    assert "a-key-of-at-least-16" not in await page.evaluate("JSON.stringify(localStorage)")


async def test_a_limit_says_how_long_to_wait(page: Page) -> None:
    body = '{"error": {"message": "Too many turns.", "code": "rate_limited"}}'
    await page.route(
        "**/chat",
        lambda route: route.fulfill(
            status=429, headers={"Retry-After": "30"}, content_type="application/json", body=body
        ),
    )
    await ask(page)
    await expect(page.get_by_role("alert")).to_contain_text("Too many turns.")
    await expect(page.get_by_role("button", name="Try again in")).to_be_disabled()
    await page.get_by_role("button", name="Edit").click()
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Hi")


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


async def test_messages_that_were_left_out_are_mentioned(page: Page, backend: Backend) -> None:
    backend.script = _says("long " * 2000)
    for number in range(1, 4):
        await ask(page)
        await expect(answers(page)).to_have_count(number)
        await expect(page.get_by_role("status")).to_have_text("")
    await expect(page.get_by_text("did not fit the model's context")).to_be_visible()


async def test_the_keyboard_alone_is_enough(page: Page, dictation: Dictation) -> None:
    message = page.get_by_label("Message", exact=True)
    await message.focus()
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await expect(message).to_have_value("one\ntwo")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="Question")).to_have_text("one\ntwo")
    await expect(message).to_be_focused()
    dictation.say("so far")
    await expect(answers(page)).to_have_text("so far")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Send")).to_be_visible()
    await expect(message).to_be_focused()


async def test_tab_reaches_everything_in_reading_order(page: Page) -> None:
    await expect(page.get_by_role("link", name="default")).to_be_visible()
    order = ["Settings", "New conversation", "default0 messages", "Delete conversation default"]
    order += ["Messages", "message", "Send"]
    for reached in order:
        await page.keyboard.press("Tab")
        name = await page.evaluate(
            "(({ ariaLabel, id, textContent }) => [ariaLabel, id, textContent])(document.activeElement)"
        )
        assert reached in name


async def test_nothing_moves_while_an_answer_streams(page: Page, dictation: Dictation) -> None:
    await ask(page, "Before")
    dictation.say("An answer that stands above the next one.")
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")
    await ask(page)
    dictation.say("first ")
    await expect(answers(page)).to_have_count(2)
    await page.evaluate(WATCH_SHIFTS)
    for n in range(40):
        dictation.say(
            f"and **bold {n}** `code`, ", f"and more words.\n\n- item {n}\n" if n % 5 == 0 else "so "
        )
        await page.evaluate("new Promise((resolve) => requestAnimationFrame(resolve))")
    dictation.say("the last.")
    await expect(answers(page).last).to_contain_text("the last.")
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")
    assert await page.evaluate("shifts") == []


async def test_conversations_are_listed_opened_and_deleted(page: Page, backend: Backend) -> None:
    backend.script = _says("first answer")
    await ask(page, "First")
    await expect(answers(page)).to_have_text("first answer")
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    backend.script = _says("second answer")
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
    backend.script = _says("yes")
    for n in range(30):
        body = {"user_id": await user_of(page), "message": f"Question {n}."}
        assert (await client.post("/chat", json=body)).status_code == 200
    await page.reload()
    await expect(page.get_by_role("article")).to_have_count(50)
    await page.get_by_role("button", name="Earlier messages").click()
    await expect(page.get_by_role("article")).to_have_count(60)
    await expect(page.get_by_role("article").first).to_have_text("Question 0.")
    await expect(page.get_by_role("button", name="Earlier messages")).to_be_hidden()


def _says(*words: str) -> Any:
    async def script(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*answer(*words))

    return script
