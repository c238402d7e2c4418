"""What the pages for developers name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["docs/architecture.md", "CONTRIBUTING.md"]


def code(page: str) -> list[str]:
    """What the page sets as code, between two backticks."""
    return re.findall(r"`([^`\n]+)`", (ROOT / page).read_text().replace("```", ""))


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_names_is_there_once(page: str) -> None:
    tests = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    for name in code(page):
        if re.fullmatch(r"test_\w+", name):
            assert tests.count(f"def {name}(") == 1, name


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    names = {path.name for folder in ("app", "tests/support") for path in (ROOT / folder).rglob("*.*")}
    for name in code(page):
        if re.fullmatch(r"[\w./-]+\.(py|lua|md|toml|txt|in|yaml|yml)", name):
            assert (ROOT / name).exists() or name in names, name
        elif re.fullmatch(r"(app|tests|docs|deploy|requirements)/[\w/-]+", name):
            assert (ROOT / name).is_dir(), name
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / link).exists(), link
