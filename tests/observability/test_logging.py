"""Logs are structured, and say nothing of what passes through."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.observability.logging import configure_logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_our_lines_and_the_libraries_lines_have_one_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="json")
    structlog.get_logger().info("ours", turn_id="t1")
    logging.getLogger("some.library").warning("theirs %s", "too")
    ours, theirs = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["level"], ours["turn_id"]) == ("ours", "info", "t1")
    assert (theirs["event"], theirs["level"]) == ("theirs too", "warning")


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="error", log_format="json")
    structlog.get_logger().warning("ours")
    logging.getLogger("some.library").warning("theirs")
    assert capsys.readouterr().err == ""


def fail(text: str) -> None:
    try:
        int(text)
    except ValueError as error:
        raise LookupError(text) from error


def test_a_traceback_shows_neither_values_nor_the_exceptions_text(capsys: pytest.CaptureFixture[str]) -> None:
    for log_format in ("json", "console"):
        configure_logging(level="debug", log_format=log_format)
        try:
            fail("can" + "ary")
        except LookupError:
            structlog.get_logger().exception("failed")
        written = capsys.readouterr().err
        assert written.index("builtins.ValueError") < written.index("builtins.LookupError")
        assert "in fail" in written
        assert "canary" not in written


@pytest.mark.parametrize("name", ["sse_starlette.sse", "httpx", "redis", "httpcore.http11"])
def test_libraries_that_log_what_passes_through_are_quiet_at_debug(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    configure_logging(level="debug", log_format="json")
    logging.getLogger(name).debug("chunk: canary")
    assert capsys.readouterr().err == ""
