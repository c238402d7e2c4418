"""The writer of docs/benchmarks.md, its plot and its numbers as JSON."""

import json
from datetime import UTC, datetime
from string import Template

from benchmarks.effort import Effort
from benchmarks.machine import describe
from benchmarks.measures import MEASURES
from benchmarks.peers import PEERS
from benchmarks.plot import bars, figure
from benchmarks.process import ROOT
from benchmarks.report import redis_commands, results_table, summary_table, targets_table
from benchmarks.run import Results
from benchmarks.targets import verdicts

_DOCS = ROOT / "docs"
_PLOTTED = ("cpu-paced", "cpu-burst")
_TEMPLATE = Template((ROOT / "benchmarks" / "page.md").read_text(encoding="utf-8"))


def write_page(results: Results, effort: Effort) -> None:
    """Replace the files in docs/."""
    day = datetime.now(UTC).date().isoformat()
    machine = describe()
    numbers = {
        "date": day,
        "machine": machine,
        "effort": effort.name,
        "rounds": effort.rounds,
        "medians": {
            measure: {
                peer: results.medians(measure, peer) for peer in PEERS if results.medians(measure, peer)
            }
            for measure in MEASURES
        },
        "targets": [
            {"target": each.target, "found": each.found, "met": each.is_met} for each in verdicts(results)
        ],
        "failures": results.failures,
    }
    (_DOCS / "benchmarks.json").write_text(json.dumps(numbers, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (_DOCS / "benchmarks.svg").write_text(_plot(results), "utf-8")
    (_DOCS / "benchmarks.md").write_text(
        _TEMPLATE.substitute(
            day=day,
            machine="\n".join(f"- {name}: {value}" for name, value in machine.items()),
            rounds="One round" if effort.rounds == 1 else f"Medians of {effort.rounds} rounds",
            summary=summary_table(results),
            same_ms=_value(results, "resume", "same p50 ms"),
            other_ms=_value(results, "resume", "other p50 ms"),
            memory=_value(results, "streams", "KiB a stream"),
            results=results_table(results),
            redis=redis_commands(results),
            targets=targets_table(results),
            failures="\n".join(f"- {failure}" for failure in results.failures) or "None.",
        ),
        "utf-8",
    )


def _value(results: Results, measure: str, value: str) -> str:
    found = results.medians(measure, "service").get(value)
    return "?" if found is None else figure(found)


def _plot(results: Results) -> str:
    charts = {}
    for name in _PLOTTED:
        found = {PEERS[peer].title: results.medians(name, peer).get("µs") for peer in MEASURES[name].peers}
        charts[f"{MEASURES[name].title}, µs"] = {title: value for title, value in found.items() if value}
    return bars({title: values for title, values in charts.items() if values}, ours=PEERS["service"].title)
