"""What a person does with the page, and what came of it."""

import httpx
from playwright.async_api import Locator, Page


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
