"""The page for everybody: axe-core's rules, both colour schemes, a phone, and the keyboard alone."""

from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.support.backend import Backend, says
from tests.web.chatting import answers, ask
from tests.web.conftest import Dictation
from tests.web.test_markdown import RICH

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 360, "height": 640}


async def faults(page: Page) -> list[str]:
    """What axe-core finds, of any weight."""
    results = await Axe().run(page)
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in results.response["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
async def test_axe_finds_no_fault(
    page: Page, backend: Backend, scheme: Literal["light", "dark"], width: int
) -> None:
    await page.set_viewport_size({"width": width, "height": 800})
    await page.emulate_media(color_scheme=scheme)
    assert await faults(page) == []
    backend.script = says(RICH)
    await ask(page)
    await expect(answers(page)).to_contain_text("named")
    await expect(page.get_by_role("status")).to_have_text("")
    assert await faults(page) == []
    await page.get_by_role("button", name="Settings").click()
    assert await faults(page) == []
    await page.get_by_role("button", name="Erase everything").click()
    assert await faults(page) == []


async def test_axe_finds_no_fault_while_a_model_thinks(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.send({"reasoning_content": "Hm."})
    await page.get_by_text("Thinking", exact=True).click()
    assert await faults(page) == []
    dictation.end()


async def test_a_phone_has_the_conversations_behind_a_button(page: Page) -> None:
    await page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    menu = page.get_by_role("button", name="Conversations", exact=True)
    await expect(page.get_by_role("link", name="New conversation")).to_be_hidden()
    await menu.click()
    await expect(menu).to_have_attribute("aria-expanded", "true")
    await page.get_by_role("button", name="New conversation").click()
    await expect(menu).to_have_attribute("aria-expanded", "false")
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


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
    await expect(page.get_by_role("link", name="New conversation")).to_be_visible()
    await page.get_by_role("button", name="Settings").focus()
    order = ["new-conversation", "search", "New conversation", "Messages"]
    order += ["Explain", "Write", "What", "message", "Send"]
    for reached in order:
        await page.keyboard.press("Tab")
        name = await page.evaluate(
            "(({ ariaLabel, id, textContent }) => [ariaLabel, id, textContent])(document.activeElement)"
        )
        assert any(part and reached in part for part in name)
