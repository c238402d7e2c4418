"""What a model writes, as the page shows it: Markdown, and nothing that could act."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from tests.support.backend import Backend, says
from tests.web.chatting import answers, ask, has_ended
from tests.web.conftest import Dictation

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOOLS = Path(__file__).parents[2] / "tools"

RICH = """# Title

Some **bold**, *italic*, ***both***, ~~gone~~ and `code` in a line, and https://example.test/a.

1. one
2. two
   - nested **deep**

- [ ] open
- [x] done

> quoted
> twice

```python
def print_b(): return "<b>"
```

| a | b |
| - | -: |
| 1<br>2 | 3 |

---
[named](https://example.test/b "t") and [good](mailto:a@example.test)

### Deep

مرحبا `code()`
"""

SHOW = """async (text) => {
  const markdown = await import("/web/markdown.js");
  await markdown.ready;
  const container = document.createElement("div");
  document.body.append(container);
  %s
  const html = container.innerHTML;
  container.remove();
  return html;
}"""
AT_ONCE = SHOW % "markdown.show(container, text, true);"
IN_STEPS = (
    SHOW
    % """
  for (let end = 1; end <= text.length; end++) markdown.show(container, text.slice(0, end), false);
  markdown.show(container, text, true);
"""
)


async def shown(page: Page, text: str) -> str:
    """Return the elements that the text becomes, without what the page adds to each of them."""
    html: str = await page.evaluate(AT_ONCE, text)
    html = re.sub(r' (dir="auto"|data-rank="\d"|rel="noopener noreferrer"|target="_blank")', "", html)
    return html.replace(">\n<", "><").replace("\n</", "</")


async def streamed(page: Page, backend: Backend, text: str) -> str:
    """Return the answer's elements, after it came in pieces."""
    backend.script = says(*(text[n : n + 7] for n in range(0, len(text), 7)))
    await ask(page)
    await expect(answers(page)).to_have_count(1)
    await has_ended(page)
    html: str = await answers(page).locator("> div").inner_html()
    return html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# Title", "<h2>Title</h2>"),
        (
            "a **b**, *c*, ***d*** and `e`",
            "strong>b</strong>, <em>c</em>, <em><strong>d</strong></em> and <code",
        ),
        (r"\*a\*, \_b\_ and \$c", "<p>*a*, _b_ and $c</p>"),
        ("a  \nb\\\nc", "<p>a<br>\nb<br>\nc</p>"),
        ("~~a~~ ~b~ ~~~c~~~", "<p><del>a</del> <del>b</del> ~~~c~~~</p>"),
        (
            "- [ ] a\n- [x] b",
            '<li class="task"><input type="checkbox" disabled="" aria-label="To do"> a</li>',
        ),
        ("3. a\n4. b\n   - c", '<ol start="3"><li>a</li><li>b\n<ul><li>c</li></ul></li></ol>'),
        ("| a | b |\n| - | -: |\n| 1<br>2 | 3 |", '<td>1<br>\n2</td><td align="right">3</td>'),
        ("> a\n> b", "<blockquote><p>a\nb</p></blockquote>"),
        ("```py\n<b>\n```", '<pre tabindex="0"><code>&lt;b&gt;</code></pre>'),
        ("use the <form> tag", "<p>use the &lt;form&gt; tag</p>"),
    ],
)
async def test_markdown_is_shown_as_what_it_means(page: Page, text: str, html: str) -> None:
    assert html in await shown(page, text)


@pytest.mark.parametrize(
    ("text", "address", "label"),
    [
        ("See https://example.com/a.", "https://example.com/a", "https://example.com/a"),
        (
            "(https://example.com/A_(b))",
            "https://example.com/A_(b)",
            "https://example.com/A_(b)",
        ),
        ("看https://example.com/a。后面", "https://example.com/a", "https://example.com/a"),
        ("<https://example.com/?a=b>", "https://example.com/?a=b", "https://example.com/?a=b"),
        ('[a](https://example.com/A_(b) "title")', "https://example.com/A_(b)", "a"),
        ("www.example.com!", "http://www.example.com", "www.example.com"),
        ("![alt](https://example.com/x.png)", "https://example.com/x.png", "alt"),
        ("[![alt](https://example.com/x.png)](https://example.com/)", "https://example.com/", "alt"),
        ("[a][b]\n\n[b]: https://example.com/b", "https://example.com/b", "a"),
    ],
)
async def test_a_link_ends_where_its_address_ends(page: Page, text: str, address: str, label: str) -> None:
    html = await shown(page, text)
    links = re.findall(r'<a href="([^"]*)"[^>]*>(.*?)</a>', html)
    assert links == [(address, label)]


def spec_examples() -> list[dict[str, Any]]:
    """The examples of the CommonMark specification, brought by npm."""
    sys.path.insert(0, str(TOOLS))
    from check_js import bring_checks  # noqa: PLC0415 - a script beside the project's packages
    from npm_packages import PackageError  # noqa: PLC0415 - see above

    try:
        spec = (bring_checks() / "commonmark-spec.txt").read_text()
    except PackageError as error:
        pytest.skip(str(error))
    fence = "`" * 32
    found = re.findall(
        rf"^#+ ([^\n]*)$|^{fence} example\n(.*?)^\.\n(.*?)^{fence}$", spec, re.MULTILINE | re.DOTALL
    )
    section, examples = "", []
    for heading, markdown, html in found:
        if heading:
            section = heading
        else:
            texts = [part.replace("→", "\t") for part in (markdown, html)]
            examples.append({"section": section, "markdown": texts[0], "html": texts[1]})
    return examples


async def test_the_examples_of_commonmark_are_read_as_it_says(page: Page) -> None:
    """With HTML switched on, as the specification has it; the page shows pictures as links."""
    examples = spec_examples()
    wrong = await page.evaluate(
        """async (examples) => {
          const { default: MarkdownIt } = await import("/web/vendor/markdown-it.js");
          const { makeParser } = await import("/web/parser.js");
          const parser = makeParser(MarkdownIt);
          parser.set({ html: true, linkify: false, xhtmlOut: true });
          parser.disable(["table", "strikethrough", "line_break"]);
          const plain = (html) => html.replace(/>\\s+|\\s+</g, (each) => each.trim());
          return examples.filter(({ markdown, html }) => plain(parser.render(markdown)) !== plain(html));
        }""",
        examples,
    )
    assert len(examples) == 652
    assert [each for each in wrong if "<img" not in each["html"]] == []


async def test_a_growing_answer_becomes_what_it_would_be_at_once(page: Page) -> None:
    """Whatever the order: blocks that turn into others, lists that go on, links that are defined below."""
    texts = [
        RICH,
        "- a\n--- b\n\nc\n---\nd\n",
        "- a\n\n\n- b\n\n  c\n1. d\n",
        "[a] and [b]\n\n[a]: https://example.test/a\n\ntext\n\n[b]: https://example.test/b 'x'\n",
        "a\r\n\r\n| b | c |\r\n| - | - |\r\n| d | e |\r\n\r\nf",
        "```\na\n\n    b\n\n\n```\n> - c\n>\n> d\n\n# e\n## f\n### g\n## h\n# i",
    ]
    for text in texts:
        assert await page.evaluate(IN_STEPS, text) == await page.evaluate(AT_ONCE, text)


async def test_what_is_complete_is_not_touched_again(page: Page) -> None:
    kept = await page.evaluate(
        """async (text) => {
          const { show, ready } = await import("/web/markdown.js");
          await ready;
          const container = document.createElement("div");
          show(container, text, false);
          const before = [...container.children].slice(0, -1);
          show(container, text + " and more\\n\\n- a list", false);
          show(container, text + " and more\\n\\n- a list\\n- goes on", true);
          return before.every((each, n) => container.children[n] === each);
        }""",
        RICH,
    )
    assert kept


async def test_an_answer_looks_the_same_after_a_reload(page: Page, backend: Backend) -> None:
    before = await streamed(page, backend, RICH)
    await expect(answers(page).locator(".hljs-keyword").first).to_be_visible()
    before = await answers(page).locator("> div").inner_html()
    await page.reload()
    await expect(answers(page).locator(".hljs-keyword").first).to_be_visible()
    assert await answers(page).locator("> div").inner_html() == before


async def test_headings_have_no_gaps_whatever_level_the_model_begins_with(page: Page) -> None:
    html = await shown(page, "### a\n\n##### b\n\n### c\n\n# d\n\n## e")
    assert re.findall(r"<h(\d)>(\w)", html) == [("2", "a"), ("3", "b"), ("2", "c"), ("2", "d"), ("3", "e")]


async def test_blocks_are_laid_out_in_their_own_direction(page: Page, backend: Backend) -> None:
    text = "English\n\n`code` مرحبا بالعالم\n\n- שלום\n\n```py\n# مرحبا\n```\n\n| مرحبا | b |\n| - | - |\n"
    await streamed(page, backend, text)
    directions = await answers(page).evaluate(
        """(article) => [...article.querySelectorAll("p, ul, pre, code, table")]
          .map((each) => `${each.tagName} ${getComputedStyle(each).direction}`)"""
    )
    assert directions == ["P ltr", "P rtl", "CODE ltr", "UL rtl", "PRE ltr", "CODE ltr", "TABLE rtl"]
    await ask(page, "مرحبا بالعالم")
    question = page.get_by_role("article", name="Question").last.locator(".text")
    await expect(question).to_have_css("direction", "rtl")


async def test_code_is_coloured_copied_and_wrapped(page: Page, backend: Backend) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await streamed(page, backend, "no code")
    assert not [url for url in asked if "highlight" in url]
    line = f"x = '{'long ' * 60}'"
    await streamed_again(page, backend, f"```python\n{line}\nreturn 1\n```\n")
    code = answers(page).last.locator("pre")
    await expect(code.locator(".hljs-keyword")).to_have_text("return")
    await page.get_by_role("button", name="Copy the code").click()
    await expect(page.locator("#announcer")).to_have_text("Copied")
    assert await page.evaluate("navigator.clipboard.readText()") == f"{line}\nreturn 1"
    assert await code.evaluate("(pre) => pre.scrollWidth > pre.clientWidth")
    await page.get_by_role("button", name="Wrap long lines").click()
    assert await code.evaluate("(pre) => pre.scrollWidth <= pre.clientWidth")


async def streamed_again(page: Page, backend: Backend, text: str) -> None:
    """Have a second answer come."""
    backend.script = says(*(text[n : n + 7] for n in range(0, len(text), 7)))
    await ask(page, "Again")
    await expect(answers(page)).to_have_count(2)
    await has_ended(page)


async def test_a_switch_of_a_code_block_stays_while_it_grows(page: Page, dictation: Dictation) -> None:
    await ask(page)
    dictation.say("```\none")
    await page.get_by_role("button", name="Wrap long lines").click()
    dictation.say(" two\n```\n\nmore")
    await expect(answers(page)).to_contain_text("more")
    await expect(page.get_by_role("button", name="Wrap long lines")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("pre")).to_have_text("one two")
    dictation.end()


async def test_without_the_libraries_the_page_shows_plain_text_and_says_so(
    page: Page, backend: Backend
) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=404)

    await page.route("**/vendor/**", refuse)
    await page.reload()
    backend.script = says("**bold**\n", "<b>next</b>")
    await ask(page)
    await expect(answers(page)).to_have_text("**bold**\n<b>next</b>", use_inner_text=True)
    await expect(page.get_by_text("Answers are shown as plain text")).to_be_visible()
    await has_ended(page)


HOSTILE = [
    "<img src=x onerror=document.title='stolen'>",
    "</script><script>document.title='stolen'</script>",
    "<svg/onload=document.title='stolen'><iframe srcdoc='<script>parent.document.title=1</script>'>",
    "[click](javascript:document.title='stolen')",
    "[click](JAVA\tSCRIPT:alert`1`) [click](data:text/html,<script>1</script>) [x](vbscript:1)",
    "[a](/web/app.js) [b](#other) [c](//example.test/x) [d](blob:x) [e](file:///etc/passwd)",
    "![picture](https://example.test/?what=was+said)",
    "![a](x'onerror=document.title='stolen') ![\"><img src=x onerror=1>](https://example.test)",
    "**<b onclick=1>** `</code><i>` [<u>](https://example.test/<u>)",
    "<a href=//example.test><form action=//example.test><button>send</button></form>",
    "<https://example.test/\"onmouseover=document.title='stolen'>",
    "[a](https://example.test/ 'x\" onmouseover=document.title=1 \"')",
    '```js" onmouseover=document.title=1\nx\n```',
    "| <img src=x onerror=document.title='stolen'> | [x](javascript:1) |\n| - | - |\n| <br onclick=1> |",
    "- [x] <input autofocus onfocus=document.title='stolen'>",
    "&lt;img src=x onerror=document.title='stolen'&gt; &#60;script&#62;",
]
TEXT_ELEMENTS = {
    *("P", "A", "CODE", "STRONG", "EM", "DEL", "BR", "PRE", "FIGURE", "FIGCAPTION", "SPAN", "BUTTON"),
    *("DIV", "TABLE", "THEAD", "TBODY", "TR", "TH", "TD", "UL", "LI", "INPUT"),
}


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_text_stays_text(page: Page, backend: Backend, text: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await streamed(page, backend, text)
    inside = answers(page).locator("> div *")
    assert {*await inside.evaluate_all("all => all.map((each) => each.tagName)")} <= TEXT_ELEMENTS
    names = {*await inside.evaluate_all("all => all.flatMap((each) => each.getAttributeNames())")}
    assert not {name for name in names if name.startswith("on") or name in {"style", "src", "srcdoc"}}
    for href in await inside.evaluate_all("all => all.map((each) => each.href).filter(Boolean)"):
        assert str(href).startswith(("https://", "http://", "mailto:"))
    assert await page.title() == "Hi · Chat"
    assert not [url for url in asked if "example.test" in url]


@pytest.mark.parametrize("html", HOSTILE)
async def test_html_that_got_past_the_parser_would_not_act_either(
    page: Page, failures: list[str], html: str
) -> None:
    """The second wall alone: DOMPurify as the page configures it."""
    left = await page.evaluate(
        """async (html) => {
          const { sanitize, ready } = await import("/web/markdown.js");
          await ready;
          const container = document.createElement("div");
          container.append(sanitize(html));
          document.body.append(container);
          return container.innerHTML;
        }""",
        html,
    )
    # Text may look like anything; only within a tag it could act.
    tags = " ".join(re.findall(r"<[^>]*>", left))
    assert not re.search(
        r"<(script|img|svg|iframe|form|button)|\son\w+=|javascript:|vbscript:", tags, re.IGNORECASE
    )
    assert await page.title() == "Chat"
    # The policy was asked about handlers of the sanitizer's own scratch document, and refused those too.
    assert all(each.startswith("Executing inline event handler violates") for each in failures)
    failures.clear()


async def test_the_browser_refuses_html_from_anywhere_but_the_sanitizer(
    page: Page, failures: list[str]
) -> None:
    refused = await page.evaluate(
        """() => {
          const refused = [];
          for (const act of [
            () => { document.createElement("div").innerHTML = "<b>x</b>"; },
            () => trustedTypes.createPolicy("other", {}),
          ]) {
            try { act(); } catch (error) { refused.push(error.name); }
          }
          return refused;
        }"""
    )
    assert refused == ["TypeError", "TypeError"]
    assert failures
    failures.clear()


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
        "| " * 30_000 + "\n" + "| - " * 15_000,
    ],
    ids=["word", "bold", "mixed", "quotes", "lists", "brackets", "ticks", "paragraphs", "table"],
)
async def test_huge_text_neither_widens_nor_blocks_the_page(page: Page, backend: Backend, text: str) -> None:
    backend.script = says(*(text[n : n + 6000] for n in range(0, len(text), 6000)))
    await ask(page)
    await has_ended(page)
    await expect(answers(page)).to_have_count(1)
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.evaluate(
        "(() => { const log = document.querySelector('#log'); return log.scrollWidth <= log.clientWidth; })()"
    )
