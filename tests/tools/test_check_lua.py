"""The check of the Lua scripts finds what Redis would find only when it executes the line."""

import runpy
from collections.abc import Callable

import pytest

from tests.support.process import ROOT

faults_of: Callable[[str], list[str]] = runpy.run_path(str(ROOT / "tools" / "check_lua.py"))["faults_of"]


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("\nreturn missing", "line 2: missing is not defined"),
        ("local now = 1\nstarted = now", "line 2: sets the global started"),
        ("local first, second = 1, 2\nreturn first", "line 1: second is never used"),
        ("local a = 1\nlocal a = 2\nreturn a", "line 1: a is never used"),
        ("do local inner = 1; redis.call(inner) end\nreturn inner", "line 2: inner is not defined"),
        ("return {[missing] = 1}", "line 1: missing is not defined"),
        ("local function count(n) return 1 end\nreturn count", "line 1: n is never used"),
    ],
)
def test_a_fault_is_reported_with_its_line(script: str, fault: str) -> None:
    assert faults_of(script) == [fault]


@pytest.mark.parametrize(
    "script",
    [
        "return {name = KEYS[1], tostring(ARGV[1])}",
        "local answer = {}\nanswer.text = 'x'\nreturn answer.text:upper()",
        "for n, key in ipairs(KEYS) do redis.call('DEL', key .. n) end",
        "for _, key in ipairs(KEYS) do redis.call('DEL', key) end",
        "local function again(n) return n > 0 and again(n - 1) end\nreturn again(3)",
        "repeat local is_done = redis.call('GET', KEYS[1]) until is_done",
        "local n = 1\nn = n + 1\nreturn n",
    ],
)
def test_a_sound_script_has_no_fault(script: str) -> None:
    assert faults_of(script) == []


def test_a_script_that_does_not_parse_has_one_fault() -> None:
    (fault,) = faults_of("if then")
    assert "line 1" in fault
