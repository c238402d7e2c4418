"""Writing a question: keys, input methods, phones, drafts, and the choice of a model."""

from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Page, expect

from app.main import create_app
from tests.support.backend import Backend, says
from tests.support.service import serving, settings_for
from tests.web.chatting import answers, ask, has_ended
from tests.web.conftest import session_loop_fixture

pytestmark = pytest.mark.asyncio(loop_scope="session")

PRESS_ENTER = """(keyCode) => {
  const event = new KeyboardEvent("keydown", { key: "Enter", keyCode, bubbles: true, cancelable: true });
  document.querySelector("#message").dispatchEvent(event);
  return event.defaultPrevented;
}"""


async def test_the_composer_has_the_focus_at_load(page: Page) -> None:
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()


async def test_enter_that_ends_a_composition_in_safari_sends_nothing(page: Page, backend: Backend) -> None:
    """There `isComposing` is false already, and the key's code is 229."""
    await page.get_by_label("Message", exact=True).fill("ni hao")
    assert not await page.evaluate(PRESS_ENTER, 229)
    assert await page.evaluate(PRESS_ENTER, 13)
    await has_ended(page)
    assert len(backend.completions) == 1


async def test_on_a_phone_enter_makes_a_line_and_the_button_sends(phone: Page, backend: Backend) -> None:
    message = phone.get_by_label("Message", exact=True)
    await expect(message).to_have_attribute("enterkeyhint", "enter")
    await message.tap()
    await phone.keyboard.type("one")
    await phone.keyboard.press("Enter")
    await phone.keyboard.type("two")
    await expect(message).to_have_value("one\ntwo")
    await phone.get_by_role("button", name="Send").tap()
    await expect(phone.get_by_role("article", name="Question")).to_have_text("one\ntwo")
    await expect(message).not_to_be_focused()  # the keyboard makes way
    await has_ended(phone)
    assert len(backend.completions) == 1


async def test_a_keyboard_over_the_page_covers_nothing(phone: Page) -> None:
    """Safari lays the page out as if there were none; only the visual viewport knows."""
    await phone.evaluate(
        """() => {
          Object.defineProperty(visualViewport, "height", { value: 400 });
          visualViewport.dispatchEvent(new Event("resize"));
        }"""
    )
    box = await phone.get_by_role("button", name="Send").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= 400


async def test_drafts_are_kept_for_each_conversation_and_over_a_reload(page: Page, backend: Backend) -> None:
    message = page.get_by_label("Message", exact=True)
    await message.fill("in the first")
    await page.get_by_role("button", name="New conversation").click()
    await expect(message).to_have_value("")
    await message.fill("in the second")
    await page.reload()
    await expect(message).to_have_value("in the second")
    await page.go_back()
    await expect(message).to_have_value("in the first")
    backend.script = says("yes")
    await message.press("Enter")
    await expect(answers(page)).to_have_text("yes")
    await page.reload()
    await expect(answers(page)).to_have_text("yes")
    await expect(message).to_have_value("")


async def test_drafts_are_erased_with_everything_else(page: Page) -> None:
    await page.get_by_label("Message", exact=True).fill("a secret")
    assert "a secret" in await page.evaluate("JSON.stringify(localStorage)")
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_role("button", name="Erase everything").click()
    await page.get_by_role("alertdialog").get_by_role("button", name="Erase").click()
    await expect(page.get_by_role("status")).to_have_text("Everything is erased.")
    assert "a secret" not in await page.evaluate("JSON.stringify(localStorage)")


async def test_the_field_grows_with_its_text_in_browsers_that_do_not_do_it_themselves(page: Page) -> None:
    await page.add_init_script(
        "const { supports } = CSS; CSS.supports = (...of) => of[0] !== 'field-sizing' && supports(...of);"
    )
    await page.reload()
    message = page.get_by_label("Message", exact=True)
    await message.evaluate("(field) => { field.style.fieldSizing = 'fixed'; }")
    before = await message.bounding_box()
    await message.fill("a\nb\nc\nd")
    after = await message.bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] > before["height"] + 40


@session_loop_fixture
async def with_models(backend: Backend, valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A service that has several models."""
    settings = settings_for(
        llm_base_url=backend.url, redis_url=valkey_url, llm_model="first", llm_allowed_models="second,third"
    )
    async with serving(create_app(settings)) as client:
        yield client


async def test_a_model_can_be_chosen_and_stays_chosen(
    page: Page, with_models: httpx.AsyncClient, backend: Backend
) -> None:
    await page.goto(str(with_models.base_url))
    choice = page.get_by_label("Model")
    await expect(choice).to_have_value("first")
    await ask(page)
    await has_ended(page)
    await choice.select_option("third")
    await page.reload()
    await expect(choice).to_have_value("third")
    await ask(page)
    await expect(answers(page)).to_have_count(2)
    await has_ended(page)
    assert [each.body["model"] for each in backend.completions] == ["first", "third"]


async def test_a_single_model_is_named_and_there_is_nothing_to_choose(page: Page) -> None:
    await expect(page.locator("#model-name")).to_have_text("test-model")
    await expect(page.get_by_label("Model")).to_be_hidden()
