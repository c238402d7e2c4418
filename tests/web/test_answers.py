"""An answer, as it comes: word by word, stopped, broken off."""

import httpx
import pytest
from playwright.async_api import Page, expect

from app.main import create_app
from tests.support.backend import Backend, says
from tests.support.service import serving, settings_for
from tests.web.chatting import answers, ask, has_ended, kept
from tests.web.conftest import Dictation

pytestmark = pytest.mark.asyncio(loop_scope="session")

WATCH_SHIFTS = """() => {
  window.shifts = [];
  new PerformanceObserver((list) => window.shifts.push(...list.getEntries().map((each) => each.value)))
    .observe({ type: "layout-shift" });
}"""


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


async def test_an_answer_that_breaks_off_says_so(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say("half an")
    await expect(answers(page)).to_have_text("half an")
    dictation.cut()
    await expect(answers(page).get_by_role("alert")).to_contain_text("not the whole answer")
    await page.reload()
    await expect(answers(page)).to_contain_text("not the whole answer")


async def test_messages_that_were_left_out_are_mentioned(
    page: Page, backend: Backend, valkey_url: str
) -> None:
    settings = settings_for(llm_base_url=backend.url, redis_url=valkey_url, llm_context_tokens=4096)
    async with serving(create_app(settings)) as small:
        await page.goto(str(small.base_url))
        backend.script = says("long " * 2000)
        for number in range(1, 4):
            await ask(page)
            await expect(answers(page)).to_have_count(number)
            await has_ended(page)
        await expect(page.get_by_text("did not fit the model's context")).to_be_visible()
        await page.close()


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


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_what_a_model_thinks_can_be_read_while_it_thinks_and_is_no_part_of_the_answer(
    page: Page, dictation: Dictation, client: httpx.AsyncClient, field: str
) -> None:
    thinking = page.get_by_text("Thinking", exact=True)
    thoughts = page.locator("details > p")
    await ask(page)
    dictation.send({field: "<b>Hm</b>,\n"})
    await expect(page.get_by_role("status")).to_have_text("Thinking…")
    await expect(thoughts).to_be_hidden()
    await thinking.press("Enter")
    await expect(thoughts).to_have_text("<b>Hm</b>,", use_inner_text=True)
    dictation.send({field: "*well*"})
    await expect(thoughts).to_have_text("<b>Hm</b>,\n*well*", use_inner_text=True)
    dictation.say("Yes.")
    await expect(page.get_by_role("status")).to_have_text("Answering…")
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")
    await expect(answers(page)).to_have_text("Yes.")
    await expect(page.locator("#announcer")).to_have_text("Yes.")
    assert await kept(page, client) == [("Hi", None), ("Yes.", "complete")]


async def test_a_reload_loses_none_of_the_thoughts(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.send({"reasoning_content": "one "})
    await expect(page.locator("details > p")).to_have_text("one")
    await page.reload()
    dictation.send({"reasoning_content": "two"})
    await expect(page.locator("details > p")).to_have_text("one two")
    dictation.end()


async def test_content_that_comes_in_parts_is_put_together(page: Page, dictation: Dictation) -> None:
    """Mistral's reasoning models send it so."""
    await ask(page)
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    dictation.send({"content": [thought]})
    await expect(page.locator("details > p")).to_have_text("Hm.")
    dictation.send({"content": [{"type": "text", "text": "Y"}, {"type": "text", "text": "es"}]})
    dictation.say(".")
    await expect(answers(page)).to_have_text("Yes.")
    dictation.end()


async def test_an_answer_of_thousands_of_tokens_is_shown_whole(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say(*(f"- item {n} **bold** `code`\n" for n in range(5000)))
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")
    await expect(answers(page).locator("li")).to_have_count(5000)


async def test_what_takes_long_to_paint_is_painted_less_often(page: Page) -> None:
    rests = await page.evaluate(
        """async () => {
          const { throttled } = await import("/web/paint.js");
          const rests = [];
          let end = 0;
          await new Promise((resolve) => {
            const paint = throttled(() => {
              const start = performance.now();
              if (end) rests.push(start - end);
              while (performance.now() < start + 30);
              end = performance.now();
              rests.length < 3 ? paint() : resolve();
            });
            paint();
          });
          return rests;
        }"""
    )
    assert min(rests) > 55
