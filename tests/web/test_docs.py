"""`/docs` in a browser that reaches nothing but the service, also below a path prefix."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from playwright.async_api import Browser, Route, expect

from tests.support.backend import Backend

pytestmark = pytest.mark.asyncio(loop_scope="session")


@asynccontextmanager
async def below_prefix(client: httpx.AsyncClient) -> AsyncIterator[str]:
    """A proxy that serves the service below `/llm/`, as nginx's `proxy_pass …/;` does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.split(b" ", 2)
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length")
            ),
            0,
        )
        body = await reader.readexactly(length)
        if not path.startswith(b"/llm/"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            response = await client.request(
                method.decode(),
                path.removeprefix(b"/llm").decode(),
                content=body,
                headers={"Content-Type": "application/json"},
            )
            names = ("content-type", "content-security-policy")
            headers = "".join(f"{name}: {response.headers[name]}\r\n" for name in names)
            writer.write(
                f"HTTP/1.1 {response.status_code} X\r\n{headers}Connection: close\r\n\r\n".encode()
                + response.content
            )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/llm"


@pytest.mark.parametrize("prefix", [False, True], ids=["at the root", "below a prefix"])
async def test_docs_show_every_endpoint_and_try_it_out_without_the_internet(
    browser: Browser, client: httpx.AsyncClient, backend: Backend, *, prefix: bool
) -> None:
    assert backend.url
    foreign: list[str] = []
    failures: list[str] = []

    async def only_here(route: Route) -> None:
        if "//127.0.0.1:" not in route.request.url:
            foreign.append(route.request.url)
            await route.abort()
        else:
            await route.continue_()

    async with below_prefix(client) as prefixed, await browser.new_context() as context:
        page = await context.new_page()
        await page.route("**/*", only_here)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on("console", lambda line: failures.append(line.text) if line.type == "error" else None)
        await page.goto(f"{prefixed if prefix else client.base_url}/docs".replace("//docs", "/docs"))
        await expect(page.get_by_text("/users/{user_id}/conversations", exact=True)).to_be_visible()
        health = page.locator(".opblock", has_text="/health")
        await health.locator(".opblock-summary").click()
        await health.get_by_role("button", name="Try it out").click()
        await health.get_by_role("button", name="Execute").click()
        await expect(health.locator(".live-responses-table .response-col_status").last).to_contain_text("200")
    assert not foreign
    assert not failures
