"""The page for everybody: axe-core's rules, both colour schemes, and a phone."""

from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.support.backend import Backend, says
from tests.web.test_markdown import RICH
from tests.web.test_page import answers, ask

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


async def test_a_phone_has_the_conversations_behind_a_button(page: Page) -> None:
    await page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    menu = page.get_by_role("button", name="Conversations", exact=True)
    await expect(page.get_by_role("link", name="default")).to_be_hidden()
    await menu.click()
    await expect(menu).to_have_attribute("aria-expanded", "true")
    await page.get_by_role("button", name="New conversation").click()
    await expect(menu).to_have_attribute("aria-expanded", "false")
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
