"""What can be done with messages, and what is said about them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Page, expect

from app.main import create_app
from tests.support.backend import Backend, Exchange, says
from tests.support.chunks import DONE, chunk, event, usage_chunk
from tests.support.service import serving, settings_for
from tests.web.chatting import answers, ask, choose, has_ended, user_of
from tests.web.conftest import Dictation, session_loop_fixture

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_empty_conversation_greets_and_offers_three_questions(page: Page, backend: Backend) -> None:
    welcome = page.get_by_role("region", name="What would you like to know?")
    await expect(welcome).to_contain_text("test-model answers here.")
    await expect(welcome.get_by_role("button")).to_have_count(3)
    backend.script = says("sure")
    await welcome.get_by_role("button").first.click()
    await expect(answers(page)).to_have_text("sure")
    await expect(welcome).to_be_hidden()
    await page.reload()
    await expect(answers(page)).to_have_text("sure")
    await expect(welcome).to_be_hidden()


async def test_the_small_demo_model_is_called_one(page: Page) -> None:
    body = json.dumps(
        {"user_id": None, "models": ["smollm2-135m-instruct"], "default_model": "smollm2-135m-instruct"}
    )
    await page.route("**/account", lambda route: route.fulfill(content_type="application/json", body=body))
    await page.reload()
    await expect(page.locator("#greeting")).to_contain_text("small model for trying the service out")


async def test_an_answer_is_copied_as_it_was_written(page: Page, backend: Backend) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    backend.script = says("**bold** and `code`")
    await ask(page)
    await has_ended(page)
    await page.get_by_role("button", name="Copy the answer").click()
    await expect(page.get_by_role("button", name="Copy the answer")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == "**bold** and `code`"


async def test_without_a_clipboard_an_answer_is_copied_all_the_same(page: Page, backend: Backend) -> None:
    """As on plain HTTP, where browsers have none."""
    await page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined });")
    await page.reload()
    backend.script = says("to copy")
    await ask(page)
    await has_ended(page)
    copied = page.evaluate(
        """new Promise((resolve) => {
          document.addEventListener("copy", () => resolve(document.activeElement.value));
        })"""
    )
    pressed = page.get_by_role("button", name="Copy the answer")
    waiting = asyncio.ensure_future(copied)
    await pressed.click()
    assert await waiting == "to copy"
    await expect(pressed).to_have_text("Copied")
    await expect(pressed).to_be_focused()


async def test_a_whole_answer_can_be_asked_for_again(page: Page, backend: Backend) -> None:
    backend.script = says("first try")
    await ask(page, "Question?")
    await has_ended(page)
    backend.script = says("second try")
    await page.get_by_role("button", name="Try again").click()
    await expect(answers(page).last).to_have_text("second try")
    assert [each.body["messages"][-1]["content"] for each in backend.completions] == ["Question?"] * 2
    # It is offered below the last answer alone.
    await expect(page.get_by_role("button", name="Try again")).to_have_count(1)


async def test_an_answer_that_failed_can_be_asked_for_again(
    page: Page, dictation: Dictation, backend: Backend
) -> None:
    await ask(page, "Question?")
    dictation.say("half")
    await expect(answers(page)).to_have_text("half")
    dictation.cut()
    await expect(answers(page).get_by_role("alert")).to_be_visible()
    backend.script = says("whole")
    await page.get_by_role("button", name="Try again").click()
    await expect(answers(page).last).to_have_text("whole")


async def test_the_last_question_can_be_asked_in_other_words(page: Page, backend: Backend) -> None:
    backend.script = says("an answer")
    await ask(page, "A qestion")
    await has_ended(page)
    await page.get_by_label("Message", exact=True).fill("a draft")
    await page.get_by_role("button", name="Edit the question").click()
    field = page.get_by_label("The question in other words")
    await expect(field).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("article", name="Question")).to_be_visible()
    await page.get_by_role("button", name="Edit the question").click()
    await field.fill("A question")
    await page.get_by_role("button", name="Ask", exact=True).click()
    await expect(page.get_by_role("article", name="Question").last).to_have_text("A question")
    await has_ended(page)
    await expect(page.get_by_label("Message", exact=True)).to_have_value("a draft")
    await expect(page.get_by_role("button", name="Edit the question")).to_have_count(1)


async def test_model_time_tokens_and_speed_are_told_also_after_a_reload(page: Page, backend: Backend) -> None:
    async def counts(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(event(chunk("Hello")), event(chunk(finish_reason="stop")))
        await exchange.send(event(usage_chunk(completion_tokens=1234)), DONE)

    backend.script = counts
    await ask(page)
    facts = page.locator(".facts")
    for _ in range(2):
        await expect(facts).to_contain_text("test-model · 1,234 tokens · ")
        await expect(facts).to_contain_text("tokens/s")
        await expect(facts.locator("time")).to_have_attribute("datetime", f"{await now(page)}")
        await expect(page.locator(".asked time")).to_be_visible()
        await page.reload()


async def now(page: Page) -> str:
    """Return the time of the answer as the service stores it."""
    stored: str = await page.evaluate(
        """async () => {
          const { conversation } = await import("/web/api.js");
          return (await conversation("default")).messages.at(-1).created_at;
        }"""
    )
    return stored


async def test_tokens_that_were_estimated_are_told_as_such(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say("one ", "two")
    dictation.end()
    await expect(page.locator(".facts")).to_contain_text("about")


@pytest.mark.parametrize(
    ("finish_reason", "content", "reason"),
    [
        ("length", "cut short", "reached its length limit"),
        ("content_filter", "cut short", "content filter"),
        ("SAFETY", "cut short", "content filter"),
        ("max_tokens", "cut short", "reached its length limit"),
        ("stop", "", "The model wrote no answer."),
        ("length", "", "length limit. The model wrote no answer."),
    ],
)
async def test_why_an_answer_is_short_is_told_also_after_a_reload(
    page: Page, backend: Backend, finish_reason: str, content: str, reason: str
) -> None:
    async def ends(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(event(chunk(content)), event(chunk(finish_reason=finish_reason)), DONE)

    backend.script = ends
    await ask(page)
    for _ in range(2):
        await expect(answers(page)).to_contain_text(reason)
        await page.reload()


async def test_a_model_that_only_thought_is_told_apart(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.send({"reasoning_content": "Hm."})
    dictation.end()
    await expect(answers(page)).to_contain_text("The model thought, but wrote no answer.")
    await page.reload()
    await expect(answers(page)).to_contain_text("wrote no answer.")


async def test_a_refusal_is_shown_as_the_answer(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.send({"refusal": "I can't help with that."})
    await expect(answers(page)).to_have_text("I can't help with that.")
    dictation.end()


async def test_stopped_is_told_at_once_and_after_a_reload(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say("so far")
    await expect(answers(page)).to_have_text("so far")
    await page.get_by_role("button", name="Stop").click()
    for _ in range(2):
        await expect(answers(page)).to_contain_text("Stopped.")
        await page.reload()


async def test_an_event_that_is_no_json_is_passed_over_and_told(page: Page) -> None:
    turn = "0" * 32
    stream = (
        f'id: {turn}-1\ndata: {{"choices":[{{"delta":{{"content":"one "}}}}]}}\n\n'
        f"id: {turn}-2\ndata: {{NaN\n\n"
        f"id: {turn}-3\ndata: null\n\n"
        f'id: {turn}-4\ndata: {{"choices":[{{"delta":{{"content":"two"}}}}]}}\n\n'
        f"id: {turn}-end\ndata: [DONE]\n\n"
    )
    headers = {"Content-Type": "text/event-stream", "X-Turn-Id": turn}
    await page.route("**/chat", lambda route: route.fulfill(headers=headers, body=stream))
    await ask(page)
    await expect(answers(page)).to_contain_text("one two")
    await expect(answers(page)).to_contain_text("A part of the answer could not be read")
    await has_ended(page)


async def test_a_reader_who_scrolled_up_is_left_there_and_has_a_button_back(
    page: Page, dictation: Dictation
) -> None:
    to_end = page.get_by_role("button", name="To the newest message")
    await ask(page)
    dictation.say(*(f"line {n}\n\n" for n in range(60)))
    await expect(answers(page)).to_contain_text("line 59")
    await expect(to_end).to_be_hidden()
    await page.locator("#log").hover()
    await page.mouse.wheel(0, -600)
    await expect(to_end).to_be_visible()
    place = await page.locator("#log").evaluate("(log) => log.scrollTop")
    dictation.say("and more\n\n" * 20)
    await expect(answers(page)).to_contain_text("and more")
    assert await page.locator("#log").evaluate("(log) => log.scrollTop") == place
    await to_end.click()
    await expect(to_end).to_be_hidden()
    dictation.say("the last")
    await expect(page.get_by_text("the last")).to_be_in_viewport()
    dictation.end()


@session_loop_fixture
async def unlimited(backend: Backend, valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service whose users may ask as often as they like."""
    settings = settings_for(llm_base_url=backend.url, redis_url=valkey_url, rate_limit_turns_per_minute=0)
    async with serving(create_app(settings)) as client:
        yield client


@pytest.mark.parametrize(("action", "suffix"), [("Export as Markdown", "md"), ("Export as JSON", "json")])
async def test_a_conversation_is_exported_whole(
    page: Page, backend: Backend, unlimited: httpx.AsyncClient, tmp_path: Path, action: str, suffix: str
) -> None:
    await page.goto(str(unlimited.base_url))
    backend.script = says("**yes**")
    for n in range(120):
        body = {"user_id": await user_of(page), "message": f"Question {n}?"}
        assert (await unlimited.post("/chat", json=body)).status_code == 200
    await page.reload()
    async with page.expect_download() as download:
        await choose(page, "Question 0?", action)
    file = tmp_path / "export"
    await (await download.value).save_as(file)
    assert (await download.value).suggested_filename == f"Question-0.{suffix}"
    text = file.read_text()
    if suffix == "json":
        messages = json.loads(text)["messages"]
        assert [each["content"] for each in messages[:2]] == ["Question 0?", "**yes**"]
        assert len(messages) == 240
    else:
        assert text.startswith("# Question 0?\n\n## Question\n")
        assert text.count("## Answer (test-model)") == text.count("**yes**") == 120
