"""What a model writes, as the page shows it: Markdown, and nothing that could act."""

import pytest
from playwright.async_api import Page, expect

from tests.support.backend import Backend, says
from tests.web.chatting import answers, ask

pytestmark = pytest.mark.asyncio(loop_scope="session")

RICH = """# Title

Some **bold**, *italic* and `code` in a line, and https://example.test/a.

1. one
2. two
   - nested **deep**

> quoted
> twice

```python
print("<b>")
```

| a | b |
| - | - |

---
[named](https://example.test/b "t") and [good](mailto:a@example.test)
"""


async def html_of(page: Page, backend: Backend, text: str) -> str:
    """The answer's elements, after it came in pieces."""
    backend.script = says(*(text[n : n + 7] for n in range(0, len(text), 7)))
    await ask(page)
    await expect(answers(page)).to_have_count(1)
    await expect(page.get_by_role("status")).to_have_text("")
    html: str = await answers(page).locator("> div").inner_html()
    return html


async def test_markdown_is_shown_as_what_it_means(page: Page, backend: Backend) -> None:
    html = await html_of(page, backend, RICH)
    for part in (
        "<h2>Title</h2>",
        "<p>Some <strong>bold</strong>, <em>italic</em> and <code>code</code> in a line",
        '<ol start="1"><li>one</li><li>two<ul><li>nested <strong>deep</strong></li></ul></li></ol>',
        "<blockquote><p>quoted\ntwice</p></blockquote>",
        '<pre tabindex="0" data-language="python"><code>print("&lt;b&gt;")</code></pre>',
        "<code>| a | b |\n| - | - |</code>",
        "<hr>",
        '<a href="mailto:a@example.test" rel="noopener noreferrer" target="_blank">good</a>',
    ):
        assert part in html


async def test_an_answer_looks_the_same_after_a_reload(page: Page, backend: Backend) -> None:
    streamed = await html_of(page, backend, RICH)
    await page.reload()
    await expect(answers(page)).to_have_count(1)
    assert await answers(page).locator("> div").inner_html() == streamed


@pytest.mark.parametrize(
    "text",
    [
        "<img src=x onerror=document.title='stolen'>",
        "</script><script>document.title='stolen'</script>",
        "<svg/onload=document.title='stolen'><iframe srcdoc='<script>parent.document.title=1</script>'>",
        "[click](javascript:document.title='stolen')",
        "[click](JAVA\tSCRIPT:alert`1`) [click](data:text/html,<script>1</script>) [x](vbscript:1)",
        "![picture](https://example.test/?what=was+said)",
        "**<b onclick=1>** `</code><i>` [<u>](https://example.test/<u>)",
        "<a href=//example.test><form action=//example.test><button>send</button></form>",
    ],
)
async def test_hostile_text_stays_text(page: Page, backend: Backend, text: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await html_of(page, backend, text)
    inside = answers(page).locator("> div *")
    names = {str(name) for name in await inside.evaluate_all("all => all.map((each) => each.tagName)")}
    assert names <= {"P", "A", "CODE", "STRONG", "EM"}
    for href in await inside.evaluate_all("all => all.map((each) => each.href).filter(Boolean)"):
        assert str(href).startswith(("https://", "http://", "mailto:"))
    assert await page.title() == "Chat"
    assert not [url for url in asked if "example.test" in url]


@pytest.mark.parametrize(
    "text",
    [
        "x" * 60_000,
        "**" * 30_000,
        "*a_`[" * 12_000,
        "> " * 30_000,
        "- " * 30_000,
        "[" * 60_000,
        "`" * 30_001 + " " + "`" * 30_000,
        "\n\n".join("x" * 30_000),
    ],
    ids=["word", "bold", "mixed", "quotes", "lists", "brackets", "ticks", "paragraphs"],
)
async def test_huge_text_neither_widens_nor_blocks_the_page(page: Page, backend: Backend, text: str) -> None:
    backend.script = says(*(text[n : n + 6000] for n in range(0, len(text), 6000)))
    await ask(page)
    await expect(page.get_by_role("status")).to_have_text("")
    await expect(answers(page)).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.evaluate(
        "(() => { const log = document.querySelector('#log'); return log.scrollWidth <= log.clientWidth; })()"
    )
