"""The chat page as it is served: what a browser is told, and that it names nothing that is not there."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.live.conftest import Serve

WEB = Path(__file__).parents[2] / "app" / "web"
FILES = sorted(str(file.relative_to(WEB)) for file in WEB.rglob("*") if file.is_file())
OWN_FILES = [name for name in FILES if not name.startswith("vendor/")]
TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".html": "text/html",
    ".txt": "text/plain",
    ".json": "application/json",
}
FIRST_LOAD_BYTES = 150_000


class Elements(HTMLParser):
    """What a page is made of: `(tag, attributes)`, and the text within scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self._tag = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._tag = tag

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - the parser names its callback's parameter
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag in {"script", "style"}:
            self.inline += data


async def test_the_page_is_served_to_anybody(serve: Serve) -> None:
    """The key is typed into it, so it cannot want one."""
    async with serve(api_keys="a-key-of-at-least-16") as client:
        response = await client.get("/")
        assert (response.status_code, response.headers["content-type"]) == (200, "text/html; charset=utf-8")
        for name in FILES:
            assert (await client.get(f"/web/{name}")).status_code == 200
        assert (await client.get("/web/other.js")).status_code == 401


@pytest.mark.parametrize("path", ["/", *(f"/web/{name}" for name in FILES)])
async def test_a_file_says_what_it_is_and_what_it_may_do(serve: Serve, path: str) -> None:
    async with serve() as client:
        response = await client.get(path)
        again = await client.get(path, headers={"If-None-Match": response.headers["etag"]})
    suffix = Path(path).suffix or ".html"
    assert response.headers["content-type"].startswith(TYPES[suffix])
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= {
        *policy
    }
    assert "unsafe" not in response.headers["content-security-policy"]
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["/web/other.js", "/web/", "/web/..%2Fmain.py", "/web/%2E%2E/main.py"])
async def test_what_is_no_file_of_the_page_is_404(serve: Serve, path: str) -> None:
    async with serve() as client:
        response = await client.get(path)
    assert (response.status_code, response.json()["error"]["code"]) == (404, "not_found")


async def test_the_description_has_the_page_and_not_its_files(serve: Serve) -> None:
    async with serve() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert "/" in paths
    assert not [path for path in paths if path.startswith("/web")]


def test_nothing_is_inline() -> None:
    page = Elements((WEB / "index.html").read_text())
    assert not page.inline.strip()
    named = {name for _, attributes in page.found for name in attributes}
    assert not {name for name in named if name == "style" or name.startswith("on")}


def test_only_files_that_exist_are_named_and_all_of_them_are() -> None:
    page = Elements((WEB / "index.html").read_text())
    named = {
        value for _, attributes in page.found for name in ("src", "href") if (value := attributes.get(name))
    }
    for script in WEB.glob("*.js"):
        named |= {f"web/{name}" for name in re.findall(r'from "\./(.+?)"', script.read_text())}
    assert named == {f"web/{name}" for name in OWN_FILES if name != "index.html"}


async def test_a_file_is_sent_compressed_to_a_browser_that_can_read_it(serve: Serve) -> None:
    async with serve() as client:
        plain = await client.get("/web/app.js", headers={"Accept-Encoding": "identity"})
        packed = await client.get("/web/app.js", headers={"Accept-Encoding": "br, gzip"})
        again = await client.get(
            "/web/app.js", headers={"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
        )
    assert plain.content == packed.content == (WEB / "app.js").read_bytes()
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert plain.headers["etag"] != packed.headers["etag"]
    assert {plain.headers["vary"], packed.headers["vary"], again.headers["vary"]} == {"Accept-Encoding"}
    assert again.status_code == 304


async def test_the_first_load_is_small(serve: Serve) -> None:
    """Everything but what colours code, which is loaded when the first code comes."""
    first = [
        name for name in FILES if Path(name).suffix in {".css", ".js", ".svg"} and "highlight" not in name
    ]
    async with serve() as client:
        sizes = [
            int((await client.get(path, headers={"Accept-Encoding": "gzip"})).headers["content-length"])
            for path in ("/", *(f"/web/{name}" for name in first))
        ]
    assert sum(sizes) < FIRST_LOAD_BYTES


@pytest.mark.parametrize("script", sorted(WEB.glob("*.js")), ids=lambda script: script.name)
def test_no_script_makes_elements_from_text(script: Path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script.read_text()
    )
