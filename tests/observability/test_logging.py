"""Logs are structured, and say nothing of what passes through."""

import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from typing import Literal

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
    assert list(theirs) == ["event", "level", "timestamp"]
    assert list(ours) == ["turn_id", *theirs]


def test_a_line_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    receiving, sending = socket.socketpair(type=socket.SOCK_DGRAM)  # each write is one message
    with receiving, sending, os.fdopen(sending.detach(), "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logging(level="info", log_format="json")
        for lines in (structlog.get_logger(), logging.getLogger("some.library")):
            lines.warning("x" * 1000)
            assert json.loads(receiving.recv(2000))["event"] == "x" * 1000


def test_a_value_of_any_kind_makes_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="json")
    values = ["half \ud83d", "line\u2028end\n", 2**70, object(), {1: "é"}]
    for value in values:
        structlog.get_logger().info("odd", value=value)
    written = capsys.readouterr().err
    assert written.isascii()
    logged = [json.loads(line)["value"] for line in written.splitlines()]
    assert logged == [*values[:3], repr(values[3]), {"1": "é"}]


def test_half_a_surrogate_pair_is_a_line_on_a_terminal_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="console")
    structlog.get_logger().info("odd", value="half \ud83d")
    assert "ud83d" in capsys.readouterr().err


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_line_that_cannot_be_written_fails_no_code_that_logs(
    monkeypatch: pytest.MonkeyPatch, log_format: Literal["json", "console"]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = open(writing, "w", closefd=False)  # noqa: SIM115 - closing it writes what is left, and fails
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging(level="info", log_format=log_format)
    structlog.get_logger().error("ours")
    logging.getLogger("some.library").error("theirs")
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        stream.close()


def test_in_a_storm_a_librarys_lines_are_held_back_by_their_template(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging(level="info", log_format="json")
    for n in range(9):
        logging.getLogger("some.library").error("socket %s", n)
    logging.getLogger("another.library").error("socket %s", 9)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == [f"socket {n}" for n in (0, 1, 2, 3, 4, 9)]
    assert {tuple(line) for line in lines} == {("event", "level", "timestamp")}


def test_a_level_of_a_librarys_own_counts_as_the_one_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(level="info", log_format="json")
    logging.getLogger("some.library").log(logging.WARNING + 5, "theirs")
    assert json.loads(capsys.readouterr().err)["level"] == "warning"


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
