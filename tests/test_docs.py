"""The pages name what exists, link to what exists, and are written in the project's words."""

import re
from pathlib import Path

import pytest
import yaml

from app.settings import Settings

ROOT = Path(__file__).parents[1]
DEVELOPERS = ["CONTRIBUTING.md", "docs/architecture.md", "docs/glossary.md"]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/*.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)
GENERATED = {"docs/faults.md", "docs/benchmarks.md"}
"""Pages that a command writes; the template of the second one is checked in its place."""

LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
VAGUE = re.compile(
    r"\b(whoever|whomever|whichever|somebody|nobody|anybody|everybody|heed|heeded|anew)\b", re.IGNORECASE
)


def text(page: str) -> str:
    return (ROOT / page).read_text()


def code(page: str) -> list[str]:
    """Find what the page sets as code, between two backticks."""
    return re.findall(r"`([^`\n]+)`", text(page).replace("```", ""))


def anchors(page: str) -> set[str]:
    """Derive the anchors of the page's headings, as they are made from the text."""
    headings = HEADING.findall(FENCED.sub("", text(page)))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", [page for page in PAGES if not page.startswith("benchmarks/")])
def test_every_link_within_the_repository_leads_somewhere(page: str) -> None:
    for link in LINK.findall(FENCED.sub("", text(page))):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(str(target.resolve().relative_to(ROOT))), link


@pytest.mark.parametrize("page", [page for page in PAGES if page not in GENERATED])
def test_no_page_has_words_that_leave_the_actor_open(page: str) -> None:
    prose = re.sub(r"`[^`\n]*`|\*\w+\*", "", FENCED.sub("", text(page)))  # a rule names what it forbids
    assert VAGUE.findall(prose) == []


def test_every_page_is_in_the_readme_or_in_a_page_that_the_readme_names() -> None:
    linked = {
        str(((ROOT / page).parent / link.partition("#")[0]).resolve().relative_to(ROOT))
        for page in ("README.md", "docs/operations.md", "CONTRIBUTING.md")
        for link in LINK.findall(text(page))
        if ":" not in link
    }
    assert {page for page in PAGES if re.fullmatch(r"docs/[\w-]+\.md", page)} <= linked


@pytest.mark.parametrize("page", DEVELOPERS)
def test_every_test_that_a_page_names_is_there_once(page: str) -> None:
    tests = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    for name in code(page):
        if re.fullmatch(r"test_\w+", name):
            assert tests.count(f"def {name}(") == 1, name


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    names = {path.name for folder in ("app", "tests/support") for path in (ROOT / folder).rglob("*.*")}
    for name in code(page):
        is_file = re.fullmatch(r"[\w./-]+\.(py|lua|md|yaml)|[\w-]+/[\w./-]+\.service", name)
        if is_file and ("/" in name or page in DEVELOPERS) and not name.startswith(("/", "mine/", ".")):
            near = (ROOT / name, ROOT / "docs" / name, ROOT / "deploy/kubernetes" / name)
            assert any(path.exists() for path in near) or name in names, name
        elif re.fullmatch(r"(app|tests|docs|deploy|requirements)/[\w/-]+", name):
            assert (ROOT / name).is_dir(), name


@pytest.mark.parametrize("page", DEVELOPERS)
def test_every_class_that_a_page_names_is_there(page: str) -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    for name in code(page):
        if found := re.fullmatch(r"([A-Z][a-z]+[A-Z]\w+)(?:\.(\w+))?", name):
            assert all(re.search(rf"\b{part}\b", source) for part in found.groups() if part), name


def test_the_unit_of_systemd_waits_for_the_drain() -> None:
    unit = text("deploy/systemd/streaming-llm-chat.service")
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(seconds) >= Settings.model_fields["shutdown_grace_seconds"].default + 25


def test_the_hosted_workflow_runs_the_project_s_own_script() -> None:
    workflow = yaml.safe_load(text(".github/workflows/ci.yaml"))
    steps = [step.get("run") for step in workflow["jobs"]["test"]["steps"]]
    assert ".ci/run" in steps
    assert (ROOT / ".ci/run").exists()
    assert workflow["permissions"] == {"contents": "read"}
