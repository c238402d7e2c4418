"""`python -m benchmarks [MEASUREMENT …]`: see docs/benchmarks.md."""

import argparse
import dataclasses
import os
import sys

import uvloop

from benchmarks.effort import FULL, QUICK
from benchmarks.machine import raise_descriptor_limit, split_cores
from benchmarks.measures import MEASURES
from benchmarks.page import write_page
from benchmarks.peers import PEERS
from benchmarks.peers.litellm import is_installed
from benchmarks.peers.service import MOST_STREAMS
from benchmarks.report import results_table, targets_table
from benchmarks.run import run, say


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("measures", nargs="*", metavar="MEASUREMENT", help=f"of {', '.join(MEASURES)}")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; %(default)s")
    parser.add_argument("--quick", action="store_true", help="smaller, one round; a look at the main ones")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--hold", type=float, default=0, help="repeat each load for so many seconds")
    parser.add_argument("--box", type=float, default=3600, help="seconds after which nothing more begins")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.*")
    return parser.parse_args()


def main() -> int:
    """Measure and report."""
    arguments = _arguments()
    effort = QUICK if arguments.quick else FULL
    effort = dataclasses.replace(
        effort, rounds=arguments.rounds or effort.rounds, hold_seconds=arguments.hold
    )
    named = arguments.measures or [
        name for name, measure in MEASURES.items() if measure.is_quick or not arguments.quick
    ]
    peers = [PEERS[name] for name in arguments.peers.split(",") if name != "litellm" or is_installed()]
    cores = split_cores()
    say(
        f"server under test on core {sorted(cores.server)}, load, backend and store on {sorted(cores.load)}; "
        f"open files raised to {raise_descriptor_limit()}, MAX_ACTIVE_TURNS and MAX_READERS to {MOST_STREAMS}"
    )
    os.sched_setaffinity(0, cores.load)
    results = uvloop.run(
        run([MEASURES[name] for name in named], peers, effort, cores=cores, box_seconds=arguments.box)
    )
    say(f"\n{results_table(results)}\n\n{targets_table(results)}")
    if arguments.write:
        write_page(results, effort)
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
