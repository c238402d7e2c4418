"""The chat page in Debian's Chromium, before the service and a backend that is dictated to."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from app.main import create_app
from tests.support.backend import Backend, Exchange, running_backend
from tests.support.chunks import DONE, chunk, event
from tests.support.service import serving, settings_for

expect.set_options(timeout=20_000)

session_loop_fixture = partial(pytest_asyncio.fixture, loop_scope="session")


class Dictation:
    """A backend's script: it says what the test says, when the test says it."""

    def __init__(self) -> None:
        self._parts = asyncio.Queue[bytes | None]()

    def say(self, *words: str) -> None:
        """Have it say these words, each in a chunk of its own."""
        for word in words:
            self._parts.put_nowait(event(chunk(word)))

    def send(self, delta: dict[str, Any]) -> None:
        """Have it send a chunk with this delta."""
        self._parts.put_nowait(event(chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}])))

    def end(self) -> None:
        """Have it end its answer as it should."""
        self._parts.put_nowait(event(chunk(finish_reason="stop")) + DONE)
        self.cut()

    def cut(self) -> None:
        """Have it hang up."""
        self._parts.put_nowait(None)

    async def __call__(self, exchange: Exchange) -> None:
        await exchange.head()
        while part := await self._parts.get():
            await exchange.send(part)


@pytest.fixture
def dictation(backend: Backend) -> Dictation:
    """What the backend answers."""
    backend.script = dictation = Dictation()
    return dictation


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is. Where it is not, these tests are skipped; CI installs it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        missing = "no Chromium on this machine; Debian's: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@session_loop_fixture(scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    """One for all tests, which is why they run in the session's event loop; each has a context of its own."""
    async with async_playwright() as playwright:
        # Its sandbox wants rights that root in a container has not, and everything here is ours.
        launching = playwright.chromium.launch(
            executable_path=chromium, chromium_sandbox=False, args=["--disable-quic", "--disable-gpu"]
        )
        async with await launching as browser:
            yield browser


@session_loop_fixture
async def backend() -> AsyncIterator[Backend]:
    async with running_backend() as backend:
        yield backend


@session_loop_fixture
async def client(backend: Backend, valkey_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service, and a client that stands for another device of the user."""
    async with serving(create_app(settings_for(llm_base_url=backend.url, redis_url=valkey_url))) as client:
        yield client


@pytest.fixture
def failures() -> list[str]:
    """What a page's scripts got wrong, or its policy refused; a test that wants such a thing clears it."""
    return []


def watch(page: Page, failures: list[str]) -> None:
    """Note failures of the page. No script of it may fail, and none of an answer may run."""
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.on("console", lambda line: failures.append(line.text) if "Content Security" in line.text else None)


@session_loop_fixture
async def page(browser: Browser, client: httpx.AsyncClient, failures: list[str]) -> AsyncIterator[Page]:
    """The page, opened."""
    async with await browser.new_context(base_url=str(client.base_url)) as context:
        page = await context.new_page()
        watch(page, failures)
        await page.goto("/")
        yield page
    assert not failures


PHONE = {"width": 390, "height": 844}


@session_loop_fixture
async def phone(browser: Browser, client: httpx.AsyncClient, failures: list[str]) -> AsyncIterator[Page]:
    """The page on a phone: narrow, and without a keyboard or a mouse."""
    async with await browser.new_context(
        base_url=str(client.base_url),
        viewport={"width": PHONE["width"], "height": PHONE["height"]},
        has_touch=True,
        is_mobile=True,
    ) as context:
        page = await context.new_page()
        watch(page, failures)
        await page.goto("/")
        yield page
    assert not failures
