"""A service that says no, and what can be done about it."""

from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.support.backend import Backend, Exchange, says
from tests.web.chatting import answers, ask
from tests.web.conftest import Dictation

pytestmark = pytest.mark.asyncio(loop_scope="session")


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


async def test_a_user_that_the_key_is_not_for_can_be_changed(page: Page) -> None:
    body = '{"error": {"message": "The key is not for this user.", "code": "forbidden"}}'
    await page.route(
        "**/users/**", lambda route: route.fulfill(status=403, content_type="application/json", body=body)
    )
    await page.reload()
    await page.get_by_role("alert").get_by_role("button", name="Settings").click()
    await page.unroute("**/users/**")
    await page.get_by_label("User id").fill("whose key it is")
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("alert")).to_have_count(0)


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
    await page.get_by_role("button", name="Edit", exact=True).click()
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Hi")


async def test_a_key_that_is_wanted_in_mid_answer_is_asked_for(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say("one ")
    await expect(answers(page)).to_have_text("one")
    body = '{"error": {"message": "The token has expired.", "code": "invalid_api_key"}}'
    await page.route(
        "**/chat/*", lambda route: route.fulfill(status=401, content_type="application/json", body=body)
    )
    await page.context.set_offline(offline=True)
    await page.context.set_offline(offline=False)
    dialog = page.get_by_role("dialog", name="Settings")
    await dialog.get_by_label("Key or token").fill("a-new-token")
    await page.unroute("**/chat/*")
    await dialog.get_by_role("button", name="Save").click()
    dictation.say("two")
    await expect(answers(page)).to_have_text("one two")
    dictation.end()
    await expect(page.get_by_role("status")).to_have_text("")


async def test_a_service_that_drains_is_asked_again_when_it_says(page: Page, backend: Backend) -> None:
    backend.script = says("back")
    body = '{"error": {"message": "The service is stopping.", "code": "draining"}}'
    await page.route(
        "**/chat",
        lambda route: route.fulfill(
            status=503, headers={"Retry-After": "1"}, content_type="application/json", body=body
        ),
        times=1,
    )
    await ask(page)
    await expect(page.get_by_role("button", name="Try again in 1 s")).to_be_disabled()
    await page.get_by_role("button", name="Try again", exact=True).click()
    await expect(answers(page)).to_have_text("back")


async def test_a_proxys_own_error_page_is_told_by_its_status(page: Page) -> None:
    await page.route(
        "**/users/**",
        lambda route: route.fulfill(status=502, content_type="text/html", body="<h1>Bad Gateway</h1>"),
    )
    await page.reload()
    await expect(page.get_by_role("alert")).to_contain_text("The service answered 502.")
    await page.unroute("**/users/**")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("alert")).to_have_count(0)
