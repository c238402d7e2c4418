"""The page for everybody: axe-core's rules, both colour schemes, a phone, and the keyboard alone."""

from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from tests.support.backend import Backend, says
from tests.web.chatting import answers, ask, has_ended
from tests.web.conftest import Dictation
from tests.web.test_markdown import RICH

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 360, "height": 640}
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])

HOVER_CONTRAST = r"""() => {
  // Colours as the browser computes them; the first opaque background counts.
  const channels = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => {
    const [r, g, b] = channels(colour).map((each) => {
      const part = each / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const control = [...document.querySelectorAll(":is(button, summary, a, select):hover")].at(-1);
  if (!control) return null;
  let behind = control;
  while (channels(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const [light, dark] = [getComputedStyle(control).color, getComputedStyle(behind).backgroundColor]
    .map(luminance).sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}"""


async def faults(page: Page) -> list[str]:
    """Return what axe-core finds, of any weight."""
    results = await Axe().run(page)
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in results.response["violations"]]


async def hardly_readable(page: Page) -> list[str]:
    """Return the controls whose label lacks contrast while the pointer is over them."""
    modal = page.locator("dialog[open]")
    within = modal.last if await modal.count() else page.locator("body")
    found = []
    for control in await within.locator("button, summary, a, select").all():
        if not await control.is_visible() or await control.is_disabled():
            continue
        await control.hover()
        contrast = await page.evaluate(HOVER_CONTRAST)
        if contrast is None or contrast < 4.5:
            found.append(f"{contrast}: {await control.evaluate('(each) => each.outerHTML')}")
    return found


@SCHEMES
@pytest.mark.parametrize("width", [1280, 360])
async def test_axe_finds_no_fault(
    page: Page, backend: Backend, scheme: Literal["light", "dark"], width: int
) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.set_viewport_size({"width": width, "height": 800})
    await expect(page.get_by_role("region", name="What would you like to know?")).to_be_visible()
    assert await faults(page) == []
    backend.script = says(RICH)
    await ask(page)
    await expect(answers(page)).to_contain_text("named")
    await has_ended(page)
    await expect(answers(page).locator(".hljs-keyword").first).to_be_visible()
    assert await faults(page) == []
    if width == PHONE["width"]:
        await page.get_by_role("button", name="Conversations", exact=True).click()
    await page.get_by_label("Options for Hi").click()
    assert await faults(page) == []
    await page.get_by_role("button", name="Rename", exact=True).click()
    assert await faults(page) == []
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Settings").click()
    assert await faults(page) == []
    await page.get_by_role("button", name="Erase everything").click()
    assert await faults(page) == []


@SCHEMES
async def test_every_control_is_readable_with_the_pointer_over_it(
    page: Page, backend: Backend, scheme: Literal["light", "dark"]
) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert await hardly_readable(page) == []
    backend.script = says("```py\nreturn 1\n```\n\n[link](https://example.test)")
    await ask(page)
    await has_ended(page)
    assert await hardly_readable(page) == []
    await page.get_by_label("Options for Hi").click()
    assert await hardly_readable(page) == []
    await page.get_by_role("button", name="Settings").click()
    assert await hardly_readable(page) == []
    await page.get_by_role("button", name="Erase everything").click()
    assert await hardly_readable(page) == []


@SCHEMES
async def test_axe_finds_no_fault_while_something_is_wrong(
    page: Page, dictation: Dictation, scheme: Literal["light", "dark"]
) -> None:
    await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    await page.evaluate("document.querySelector('#plain-text').hidden = false")
    await ask(page)
    dictation.say("half", *("\n\nline" for _ in range(60)))
    await expect(answers(page)).to_contain_text("line")
    await page.locator("#log").evaluate("(log) => log.scrollTo(0, 0)")
    await expect(page.get_by_role("button", name="To the newest message")).to_be_visible()
    assert await faults(page) == []
    dictation.cut()
    await expect(answers(page).get_by_role("alert")).to_be_visible()
    await page.get_by_role("button", name="Edit the question").click()
    assert await faults(page) == []
    await page.keyboard.press("Escape")
    await page.route("**/chat", lambda route: route.fulfill(status=503, headers={"Retry-After": "30"}))
    await ask(page)
    await expect(page.locator(".notice")).to_be_visible()
    assert await faults(page) == []
    assert await hardly_readable(page) == []


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
