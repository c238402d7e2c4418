"""`examples/eventsource.mjs` in a page of another origin, where an EventSource comes back by itself."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from playwright.async_api import Browser, Error, Page, expect

from app.errors import UpstreamTruncated
from app.main import create_app
from tests.support.backend import Backend, Exchange
from tests.support.chunks import answer
from tests.support.proxy import Proxy, proxy_to
from tests.support.service import serving, settings_for
from tests.support.turns import PausedScript
from tests.web.conftest import session_loop_fixture

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = Path(__file__).parents[2] / "examples" / "eventsource.mjs"
WORDS = [f"word{n} " for n in range(200)]
PARTS = answer(*WORDS)
HALF = len(PARTS) // 2


@session_loop_fixture
async def elsewhere() -> AsyncIterator[str]:
    """An origin that has the example, and an empty page beside it."""
    app = FastAPI()
    app.get("/", response_class=HTMLResponse)(lambda: "<pre></pre>")
    app.mount("/", StaticFiles(directory=EXAMPLE.parent))
    async with serving(app) as client:
        yield str(client.base_url).rstrip("/")


@session_loop_fixture
async def proxy(backend: Backend, valkey_url: str, elsewhere: str) -> AsyncIterator[Proxy]:
    """A line to the service that can be cut."""
    app = create_app(settings_for(llm_base_url=backend.url, redis_url=valkey_url, cors_origins=elsewhere))
    async with serving(app) as client, proxy_to(("127.0.0.1", client.base_url.port or 0)) as proxy:
        yield proxy


@session_loop_fixture
async def page(browser: Browser, elsewhere: str) -> AsyncIterator[Page]:
    async with await browser.new_context() as context:
        page = await context.new_page()
        await page.goto(elsewhere)
        yield page


async def ask(page: Page, proxy: Proxy, message: str = "Hello") -> None:
    """Do what the example's first lines say, to the answer's end."""
    url = json.dumps(f"http://127.0.0.1:{proxy.port}")
    question = json.dumps({"user_id": "eventsource", "message": message})
    await page.evaluate(
        f"""async () => {{
          const {{ ask }} = await import("./{EXAMPLE.name}");
          const output = document.querySelector("pre");
          await ask({url}, {question}, (text) => output.append(text));
        }}"""
    )


async def test_the_text_is_whole_though_the_line_is_cut_within_an_event_and_between_two(
    page: Page, proxy: Proxy, backend: Backend
) -> None:
    backend.script = held = PausedScript(*PARTS[:HALF], rest=tuple(PARTS[HALF:]))
    proxy.slice_bytes = 7
    output = page.locator("pre")
    asked = asyncio.create_task(ask(page, proxy))
    await expect(output).to_contain_text("word0")
    proxy.reset()
    # Nothing more comes until the second half does: whoever has read so far is between two events.
    await expect(output).to_contain_text(f"word{HALF - 2}")
    proxy.refuse()
    proxy.reset()
    held.go_on.set()
    await proxy.accept()
    await asked
    assert await output.text_content() == "".join(WORDS)
    assert len(backend.completions) == 1


async def test_an_error_status_at_which_an_eventsource_gives_up_is_not_the_end(
    page: Page, proxy: Proxy, backend: Backend
) -> None:
    backend.script = held = PausedScript(*PARTS[:HALF], rest=tuple(PARTS[HALF:]))
    output = page.locator("pre")
    asked = asyncio.create_task(ask(page, proxy))
    await expect(output).to_contain_text(f"word{HALF - 2}")
    await page.route("**/chat/*", lambda route: route.fulfill(status=502))
    async with page.expect_response("**/chat/*"):
        proxy.reset()
    await page.unroute("**/chat/*")
    held.go_on.set()
    await asked
    assert await output.text_content() == "".join(WORDS)


async def test_an_answer_that_is_not_whole_is_told_from_one_that_is(
    page: Page, proxy: Proxy, backend: Backend
) -> None:
    async def breaks_off(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(*PARTS[:HALF])

    backend.script = breaks_off
    with pytest.raises(Error, match=UpstreamTruncated.default_message):
        await ask(page, proxy)
    assert await page.locator("pre").text_content() == "".join(WORDS[: HALF - 1])


async def test_a_question_that_is_refused_is_not_asked_again(
    page: Page, proxy: Proxy, backend: Backend
) -> None:
    with pytest.raises(Error, match="message"):
        await ask(page, proxy, message=" ")
    assert not backend.completions
