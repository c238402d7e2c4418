"""The run of the chosen measurements on the chosen peers, in several rounds."""

import gc
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.effort import Effort, Values
from benchmarks.load import LoadError
from benchmarks.machine import Cores
from benchmarks.measures import Measure
from benchmarks.peers import Peer
from benchmarks.process import StartError
from benchmarks.stage import Stage, set_stage


@dataclass
class Results:
    """All results, by measurement and peer, one for each round."""

    values: dict[tuple[str, str], list[Values]] = field(default_factory=lambda: defaultdict(list))
    failures: list[str] = field(default_factory=list)

    def medians(self, measure: str, peer: str) -> Values:
        """Return the medians over the rounds; empty if nothing was measured."""
        rounds = self.values.get((measure, peer), [])
        return {
            name: statistics.median(each.get(name, 0) for each in rounds)
            for name in (rounds[0] if rounds else ())
        }


async def run(
    measures: Sequence[Measure], peers: Sequence[Peer], effort: Effort, *, cores: Cores, box_seconds: float
) -> Results:
    """Measure, and report the progress.

    Args:
        measures: The measurements.
        peers: The peers; each measurement uses those that it applies to.
        effort: The effort of each measurement.
        cores: The cores of the server and of the load.
        box_seconds: The time after which no further measurement begins.
    """
    results = Results()
    began = time.monotonic()
    # A pause of the garbage collector would look like a late token.
    gc.freeze()
    gc.disable()
    async with set_stage(cores) as stage:
        for n in range(1, effort.rounds + 1):
            for measure in measures:
                if measure.is_once and n > 1:
                    continue
                for peer in peers:
                    if peer.name not in measure.peers:
                        continue
                    elapsed = time.monotonic() - began
                    if elapsed > box_seconds:
                        results.failures.append(f"round {n}: no time for {measure.name} of {peer.title}")
                        continue
                    place = f"{elapsed:4.0f} s  round {n}/{effort.rounds}  {measure.name:12} {peer.title:14}"
                    say(f"{place} {await _measure(measure, peer, effort, stage, results)}")
    return results


async def _measure(measure: Measure, peer: Peer, effort: Effort, stage: Stage, results: Results) -> str:
    try:
        values = await measure.run(stage, peer, effort)
    except (LoadError, StartError) as error:
        results.failures.append(f"{measure.name} of {peer.title}: {error}")
        return f"failed: {error}"
    finally:
        gc.collect()
    results.values[measure.name, peer.name].append(values)
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items())


def say(text: str) -> None:
    """Print a line for the person who waits."""
    print(text, flush=True)  # noqa: T201 - for the person who waits
