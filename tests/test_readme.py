"""The README and the files beside it say what the code does."""

import re
from pathlib import Path

import pytest

from app.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs/settings.md").read_text()


def test_every_setting_is_listed_with_its_default() -> None:
    rows = dict(re.findall(r"^\| (`[A-Z0-9_`, ]+`) \|([^|]*)\|", SETTINGS, re.MULTILINE))
    listed = {name for names in rows for name in re.findall(r"[A-Z0-9_]+", names)}
    assert listed == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            row = next(default for names, default in rows.items() if f"`{name.upper()}`" in names)
            assert f"`{field.default:g}`" in row or f"`{field.default}`" in row, name


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *map(str, Path("docs").glob("*.md"))])
def test_every_make_target_that_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = re.findall(r"(?:^ +|`|sudo )make ([a-z-]+)", (ROOT / page).read_text(), re.MULTILINE)
    assert set(named) <= targets


@pytest.mark.parametrize("profile", ["vllm", "ollama"])
def test_a_profile_sets_what_the_service_needs(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", ROOT / f".env.{profile}")
    settings = Settings()
    assert settings.llm_base_url.startswith(f"http://{profile}:")
    assert settings.redis_url == "redis://redis:6379/0"
    assert settings.app_host == "127.0.0.1"
