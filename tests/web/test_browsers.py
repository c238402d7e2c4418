"""Browsers that lack something: site data, newer features, motion."""

import pytest
from playwright.async_api import Page, Route, expect

from tests.support.backend import Backend, says
from tests.web.chatting import answers, ask, has_ended
from tests.web.conftest import Dictation

pytestmark = pytest.mark.asyncio(loop_scope="session")

BLOCKED = """for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("blocked", "SecurityError"); } });
}"""

# What Safari 15.4 has not.
OLDER = """
delete AbortSignal.any;
delete AbortSignal.timeout;
delete URL.canParse;
delete URL.parse;
delete Promise.withResolvers;
delete Array.prototype.toSorted;
delete Array.prototype.toReversed;
delete Array.prototype.with;
delete Object.groupBy;
delete ReadableStream.prototype[Symbol.asyncIterator];
delete HTMLElement.prototype.showPopover;
delete window.trustedTypes;
delete window.requestIdleCallback;
delete window.scheduler;
for (const name of Object.getOwnPropertyNames(Element.prototype)) {
  if (/^aria[A-Z]/.test(name) || name === "role" || name === "setHTMLUnsafe") delete Element.prototype[name];
}
"""


async def test_with_site_data_blocked_the_page_works_for_the_tabs_life(page: Page, backend: Backend) -> None:
    await page.add_init_script(BLOCKED)
    await page.reload()
    backend.script = says("all the same")
    await ask(page)
    await expect(answers(page)).to_have_text("all the same")
    await has_ended(page)
    await page.get_by_role("button", name="New conversation").click()
    await expect(page.get_by_role("article")).to_have_count(0)
    await page.go_back()
    await expect(answers(page)).to_have_text("all the same")
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("Dark").check()
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.get_by_role("button", name="Save").click()


async def test_a_browser_of_2022_lacks_nothing_that_the_page_needs(page: Page, dictation: Dictation) -> None:
    # Without Trusted Types there is no policy that DOMPurify could make.
    await page.route("**/", without_policy)
    await page.add_init_script(OLDER)
    await page.reload()
    await ask(page)
    dictation.say("| **one** | b |\n| - | - |\n\n", "```py\nreturn 1\n```\n")
    await expect(answers(page).locator("strong")).to_have_text("one")
    await page.context.set_offline(offline=True)
    await expect(page.get_by_role("status")).to_have_text("Connection lost. Reconnecting…")
    await page.context.set_offline(offline=False)
    dictation.say("two")
    dictation.end()
    await expect(answers(page)).to_contain_text("two")
    await has_ended(page)
    await expect(answers(page).locator(".hljs-keyword")).to_have_text("return")
    await page.get_by_role("button", name="Settings").click()
    await page.keyboard.press("Escape")


async def without_policy(route: Route) -> None:
    response = await route.fetch()
    headers = {
        name: value.replace("require-trusted-types-for 'script'; trusted-types dompurify", "")
        for name, value in response.headers.items()
    }
    await route.fulfill(response=response, headers=headers)


async def test_a_chosen_theme_counts_more_than_the_systems_and_stays(page: Page) -> None:
    root = page.locator("html")
    await page.emulate_media(color_scheme="dark")
    await expect(root).to_have_attribute("data-theme", "dark")
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("Light").check()
    await expect(root).to_have_attribute("data-theme", "light")
    await page.reload()
    await expect(root).to_have_attribute("data-theme", "light")
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_label("System").check()
    await expect(root).to_have_attribute("data-theme", "dark")


async def test_nothing_moves_for_a_reader_who_wants_less_motion(page: Page) -> None:
    await page.emulate_media(reduced_motion="reduce")
    await page.evaluate(
        """() => {
          const line = Object.assign(document.createElement("div"), { className: "line" });
          const skeleton = Object.assign(document.createElement("div"), { className: "skeleton" });
          skeleton.append(line);
          document.querySelector("#messages").append(skeleton);
        }"""
    )
    await expect(page.locator(".line")).to_have_css("animation-name", "none")
    await expect(page.get_by_role("button", name="Settings")).to_have_css("transition-duration", "0s")


async def test_shapes_of_messages_are_shown_while_a_conversation_loads_for_long(page: Page) -> None:
    await page.route("**/conversations/default*", lambda _: None)
    await page.reload()
    await expect(page.locator(".skeleton")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
async def test_composer_and_messages_are_in_line(page: Page, backend: Backend, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 700})
    backend.script = says(*(f"paragraph {n}\n\n" for n in range(60)))
    await ask(page)
    await has_ended(page)
    boxes = [await page.locator(selector).bounding_box() for selector in ("#messages", "#composer")]
    places = [(box["x"], box["width"]) for box in boxes if box is not None]
    assert places[0] == places[1]
