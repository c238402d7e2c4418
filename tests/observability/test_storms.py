"""In a storm a few lines of a kind pass; what is held back is counted."""

import structlog

from app.observability.storms import StormFilter


def passed(
    storm: StormFilter, *, times: int = 1, level: str = "warning", **fields: object
) -> list[dict[str, object]]:
    lines = []
    for _ in range(times):
        try:
            lines.append(dict(storm(None, level, {"event": "failed", **fields})))
        except structlog.DropEvent:
            continue
    return lines


def test_the_first_lines_of_a_kind_pass_and_the_others_do_not() -> None:
    storm = StormFilter()
    assert sum(len(passed(storm, code="c", request_id=n)) for n in range(1000)) == 5
    assert len(passed(storm, code="other")) == 1
    assert len(passed(storm, event="something else", code="c")) == 1


def test_what_is_no_warning_always_passes() -> None:
    assert len(passed(StormFilter(), times=100, level="info")) == 100


def test_the_next_line_says_how_many_were_held_back() -> None:
    now = 0.0
    storm = StormFilter(now=lambda: now)
    passed(storm, times=12)
    now = 11.0
    assert [line.get("held_back") for line in passed(storm, times=2)] == [7, None]


def test_a_line_may_name_its_kind_which_is_not_logged() -> None:
    storm = StormFilter()
    lines = [line for n in range(9) for line in passed(storm, event=f"socket {n}", _kind="socket %s")]
    assert [line["event"] for line in lines] == [f"socket {n}" for n in range(5)]
    assert not any("_kind" in line for line in lines)
