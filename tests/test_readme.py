"""The README and the files beside it say what the code does."""

import re
from pathlib import Path

import pytest

from app.settings import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_variable_is_listed_with_its_default() -> None:
    rows = dict(re.findall(r"^\| (`[A-Z0-9_`, ]+`) \|([^|]*)\|", README, re.MULTILINE))
    listed = {name for names in rows for name in re.findall(r"[A-Z0-9_]+", names)}
    assert listed == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            row = next(default for names, default in rows.items() if f"`{name.upper()}`" in names)
            assert f"`{field.default:g}`" in row or f"`{field.default}`" in row, name


def test_every_make_target_that_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^ +make ([a-z-]+)", README, re.MULTILINE)) <= targets


@pytest.mark.parametrize("profile", ["vllm", "ollama"])
def test_a_profile_sets_what_the_service_needs(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", ROOT / f".env.{profile}")
    settings = Settings()
    assert settings.llm_base_url.startswith(f"http://{profile}:")
    assert settings.redis_url == "redis://redis:6379/0"
    assert settings.app_host == "127.0.0.1"
