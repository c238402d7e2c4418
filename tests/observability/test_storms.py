"""In a storm a few lines of a kind pass; what is held back is counted."""

import logging

from app.observability.storms import StormFilter


def record(
    event: str, *, level: int = logging.WARNING, code: str = "c", **fields: object
) -> logging.LogRecord:
    return logging.LogRecord("app", level, "", 0, {"event": event, "code": code, **fields}, None, None)


def passed(storm: StormFilter, *records: logging.LogRecord) -> int:
    return sum(bool(storm.filter(each)) for each in records)


def test_the_first_lines_of_a_kind_pass_and_the_others_do_not() -> None:
    storm = StormFilter()
    assert passed(storm, *(record("failed", request_id=str(n)) for n in range(1000))) == 5
    assert passed(storm, record("failed", code="other"), record("something else")) == 2


def test_what_is_no_warning_always_passes() -> None:
    assert passed(StormFilter(), *(record("turn", level=logging.INFO) for _ in range(100))) == 100


def test_the_next_line_says_how_many_were_held_back() -> None:
    now = 0.0
    storm = StormFilter(now=lambda: now)
    passed(storm, *(record("failed") for _ in range(12)))
    now = 11.0
    following = [record("failed"), record("failed")]
    assert passed(storm, *following) == 2
    assert ["'held_back': 7" in each.getMessage() for each in following] == [True, False]


def test_a_librarys_lines_are_counted_by_their_template() -> None:
    storm = StormFilter()
    lines = [logging.LogRecord("lib", logging.ERROR, "", 0, "socket %s", (n,), None) for n in range(9)]
    assert passed(storm, *lines) == 5
