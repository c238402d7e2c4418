"""The measurements."""

from benchmarks.measures.cpu import CPU_BURST, CPU_PACED
from benchmarks.measures.growth import GROWTH
from benchmarks.measures.instructions import INSTRUCTIONS
from benchmarks.measures.latency import GAP, STARTS, TTFT
from benchmarks.measures.measure import Measure
from benchmarks.measures.resume import RESUME
from benchmarks.measures.startup import START
from benchmarks.measures.store import STORE
from benchmarks.measures.streams import STREAMS
from benchmarks.measures.throughput import THROUGHPUT

MEASURES = {
    measure.name: measure
    for measure in (
        CPU_PACED,
        CPU_BURST,
        TTFT,
        STARTS,
        GAP,
        STORE,
        STREAMS,
        RESUME,
        THROUGHPUT,
        START,
        INSTRUCTIONS,
        *GROWTH,
    )
}

__all__ = ["MEASURES", "Measure"]
