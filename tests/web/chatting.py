"""What a person does with the page, and what came of it."""

import httpx
from playwright.async_api import Locator, Page, expect


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


async def choose(page: Page, title: str, action: str) -> None:
    """Choose an action of a conversation's menu."""
    await page.get_by_label(f"Options for {title}", exact=True).click()
    await page.get_by_role("button", name=action, exact=True).click()


async def has_ended(page: Page) -> None:
    """Wait until no answer comes any more."""
    await expect(page.locator("body")).not_to_have_class("running")
    await expect(page.get_by_role("status")).to_have_text("")


async def hide(page: Page, *, is_hidden: bool) -> None:
    """Have the page believe that its tab is in the background, or in front."""
    await page.evaluate(
        """(isHidden) => {
          Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )
