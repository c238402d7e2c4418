"""The page `docs/faults.md`: the rows of the suite, with the seconds of the run that wrote it."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

from tests.faults.fault import Fault

PATH = Path(__file__).parents[2] / "docs" / "faults.md"

_INTRODUCTION = """\
# Faults

This page lists every fault that the tests inject, what the client sees, and what is stored.

Each row is a case of `tests/faults`. The suite injects the fault over real sockets and checks the row. It
also checks that

- another user's stream gets every token and its end meanwhile;
- the conversation accepts the next turn;
- no task, descriptor or key is left over.

`make faults` regenerates this page. The seconds are those of that run, from the fault or the request to the
client's end.

What a client sees is a status and a code, or the text that was streamed and the end of the stream. An answer
is stored with its status, and with its question.
"""
_TITLES = {
    "backend": "The backend",
    "backends": "One of two backends",
    "store": "The store",
    "client": "The client",
}
_HEAD = """\
| fault | phase | what the client sees | what is stored | seconds |
| --- | --- | --- | --- | ---: |
"""


def render(faults: Sequence[Fault], seconds: Mapping[str, float]) -> str:
    """Render the page.

    Args:
        faults: All rows, grouped.
        seconds: The seconds of each row, by its full name.
    """
    parts = [_INTRODUCTION]
    for group, rows in groupby(faults, lambda fault: fault.group):
        lines = [f"{_cells(fault)} {seconds[fault.full_name]:.2f} |\n" for fault in rows]
        parts.append(f"## {_TITLES[group]}\n\n{_HEAD}{''.join(lines)}")
    return "\n".join(parts)


def without_seconds(page: str) -> list[str]:
    """Return the page's lines without seconds, to compare two runs."""
    return [line.rpartition("|")[0].rpartition("|")[0] or line for line in page.splitlines()]


def _cells(fault: Fault) -> str:
    return f"| {fault.name} | {fault.phase} | {fault.sees} | {fault.stored} |"
