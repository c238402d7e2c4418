"""No regular expression of the service takes more than milliseconds, whatever it is fed."""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import app

_FOLDER = Path(app.__file__).parent
_MOST_SECONDS = 0.1
"""A quadratic search takes seconds at this size, a linear one milliseconds. The rest is for slow machines."""
_LENGTH = 64 * 1024
_FED = {
    **{
        name: sign * _LENGTH
        for name, sign in [("a", "a"), ("/", "/"), (":", ":"), (".", "."), ("-", "-"), ("space", " ")]
    },
    "a mixture": "a/a:a.a-a a" * (_LENGTH // 11),
    "words": "context model exceeds limit: 1 quota exceeded input [" * (_LENGTH // 53),
}


def _written() -> Iterator[tuple[str, str, ast.Call]]:
    """Every call of `re` in the source."""
    for path in _FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name)) if name != "escape":
                    yield ".".join(("app", *path.relative_to(_FOLDER).with_suffix("").parts)), name, node


def _compiled_in(value: Any, depth: int = 4) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif depth and isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _compiled_in(item, depth - 1)
    elif depth and isinstance(value, dict):
        yield from _compiled_in(list(value.values()), depth - 1)


def _patterns() -> dict[str | bytes, re.Pattern[Any]]:
    """Those that modules hold, and those that are written as literals where they are used."""
    found: dict[str | bytes, re.Pattern[Any]] = {}
    for module in pkgutil.walk_packages(app.__path__, "app."):
        # They run as programs; the second needs OpenMP, which only its own process is given.
        if module.name in {"app.__main__", "app.embedded.llama_server"}:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            if not name.startswith("__"):
                _MODULES[module.name] = [*_MODULES.get(module.name, []), *_compiled_in(value)]
        found |= {pattern.pattern: pattern for pattern in _MODULES.get(module.name, [])}
    for _, name, call in _written():
        match call.args[0]:
            case ast.Constant(value=str() | bytes() as literal) if name != "compile":
                found[literal] = re.compile(literal)
    return found


_MODULES: dict[str, list[re.Pattern[Any]]] = {}
PATTERNS = _patterns()


def test_the_inspection_finds_what_is_written() -> None:
    compiled = {module for module, name, _ in _written() if name == "compile"}
    assert compiled
    assert not [module for module in compiled if not _MODULES[module]]


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=lambda pattern: str(pattern.pattern)[:60])
def test_a_pattern_takes_milliseconds(pattern: re.Pattern[Any]) -> None:
    for name, text in _FED.items():
        fed: Any = text if isinstance(pattern.pattern, str) else text.encode()
        # A first measurement may be disturbed.
        assert _seconds(pattern, fed) < _MOST_SECONDS or _seconds(pattern, fed) < _MOST_SECONDS, name


def _seconds(pattern: re.Pattern[Any], fed: Any) -> float:
    begun = time.thread_time()
    for _ in pattern.finditer(fed):
        pass
    pattern.fullmatch(fed)
    return time.thread_time() - begun


def test_a_quadratic_pattern_would_be_found() -> None:
    text = "a" * (_LENGTH // 16)
    assert _seconds(re.compile(r"\S+://"), text) > 16 * _seconds(re.compile(r"(?<!\S)\S{1,20}://"), text)
