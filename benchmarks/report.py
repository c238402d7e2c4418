"""The results as tables, for a terminal or for a page."""

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.effort import Values
from benchmarks.measures import MEASURES
from benchmarks.measures.store import PER_TURN
from benchmarks.peers import PEERS
from benchmarks.plot import figure
from benchmarks.run import Results
from benchmarks.targets import verdicts

_REFERENCE = "nginx"


def results_table(results: Results) -> str:
    """Make a table of the medians, with the ratio to nginx's in brackets."""
    rows = [["", *(peer.title for peer in PEERS.values())], ["---", *("---:" for _ in PEERS)]]
    for measure in MEASURES.values():
        by_peer = {peer: results.medians(measure.name, peer) for peer in PEERS}
        for value in _names(by_peer.values()):
            if value.endswith(PER_TURN):
                continue
            cells = [_cell(by_peer[peer].get(value), by_peer[_REFERENCE].get(value), peer) for peer in PEERS]
            rows.append([f"{measure.title}: {value}", *cells])
    return "\n".join(_aligned(rows))


def redis_commands(results: Results) -> str:
    """Make a table of the Redis commands in a turn, the most frequent first."""
    found = results.medians("redis", "service")
    calls = {name.removesuffix(PER_TURN): n for name, n in found.items() if name.endswith(PER_TURN)}
    return ", ".join(f"{name.upper()} {figure(n)}" for name, n in calls.items())


def targets_table(results: Results) -> str:
    """Make a table of every target with its result."""
    rows = [["target", "found", ""], ["---", "---:", "---"]]
    rows += [[verdict.target, verdict.found, verdict.mark] for verdict in verdicts(results)]
    return "\n".join(_aligned(rows))


def _names(found: Iterable[Values]) -> list[str]:
    return list(dict.fromkeys(name for values in found for name in values))


def _cell(value: float | None, reference: float | None, peer: str) -> str:
    if value is None:
        return ""
    text = figure(value)
    if reference and peer not in {_REFERENCE, "direct"}:
        return f"{text} (x {value / reference:.2g})"
    return text


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for n, row in enumerate(rows):
        fill = "-" if n == 1 else " "
        cells = (_padded(cell, width, fill) for cell, width in zip(row, widths, strict=True))
        yield f"| {' | '.join(cells)} |"


def _padded(cell: str, width: int, fill: str) -> str:
    return cell.rjust(width, fill) if cell.endswith(":") and fill == "-" else cell.ljust(width, fill)
