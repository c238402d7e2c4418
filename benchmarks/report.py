"""The results as tables, for a terminal or for a page."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.effort import Values
from benchmarks.measures import MEASURES
from benchmarks.measures.store import PER_TURN
from benchmarks.peers import PEERS
from benchmarks.plot import figure
from benchmarks.run import Results
from benchmarks.targets import verdicts

_REFERENCE = "nginx"
_LEAST_REFERENCE = 0.1
"""A ratio to less says nothing: it is the clock's noise."""
_COMPARED = ("service", "recipe", "litellm", "nginx")

_Medians = Callable[[str, str], Values]


def summary_table(results: Results) -> str:
    """Make a table of what a user gets, beside what could be used instead."""
    of = results.medians
    rows = {
        "tokens a second that one core relays": _a_second(of, "cpu-paced", "µs"),
        "the same when they come in bursts": _a_second(of, "cpu-burst", "µs"),
        "short turns a second that one core serves": _a_second(of, "requests", "CPU µs a request"),
        "wait for the first token, median: ms": _each(of, "ttft", "p50 ms"),
        "wait for the first token, one in a hundred: ms": _each(of, "ttft", "p99 ms"),
        "the same when 100 start at once, median: ms": _each(of, "starts", "p50 ms"),
    }
    table = [["", *(PEERS[peer].title for peer in _COMPARED)], ["---", *("---:" for _ in _COMPARED)]]
    table += [
        [title, *(figure(values[peer]) if peer in values else "" for peer in _COMPARED)]
        for title, values in rows.items()
    ]
    return "\n".join(_aligned(table))


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


def _each(of: _Medians, measure: str, value: str) -> dict[str, float]:
    found = {peer: of(measure, peer).get(value) for peer in _COMPARED}
    return {peer: each for peer, each in found.items() if each}


def _a_second(of: _Medians, measure: str, microseconds: str) -> dict[str, float]:
    return {peer: 1e6 / each for peer, each in _each(of, measure, microseconds).items()}


def _names(found: Iterable[Values]) -> list[str]:
    return list(dict.fromkeys(name for values in found for name in values))


def _cell(value: float | None, reference: float | None, peer: str) -> str:
    if value is None:
        return ""
    text = figure(value)
    if reference and reference >= _LEAST_REFERENCE and peer not in {_REFERENCE, "direct"}:
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
