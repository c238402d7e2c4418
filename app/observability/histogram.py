"""A histogram for the token path."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, Histogram, Metric
from prometheus_client.registry import Collector


class LoopHistogram(Collector):
    """Counts in a list, without a lock, and looks like prometheus_client's histogram to each scrape.

    Only the thread of the event loop may observe and scrape.
    """

    def __init__(
        self, name: str, documentation: str, *, registry: CollectorRegistry, buckets: Sequence[float]
    ) -> None:
        self._empty = Histogram(name, documentation, registry=None, buckets=buckets)
        self._buckets = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._buckets, value)] += 1
        self._sum += value

    def describe(self) -> Iterable[Metric]:
        """Return the family without values, for the registry."""
        return self._empty.describe()

    def collect(self) -> Iterable[Metric]:
        """Fill the values into an empty histogram's samples."""
        up_to = accumulate(self._counts)
        for family in self._empty.collect():
            values = {f"{family.name}_count": sum(self._counts), f"{family.name}_sum": self._sum}
            family.samples = [
                sample._replace(
                    value=float(
                        next(up_to) if "le" in sample.labels else values.get(sample.name, sample.value)
                    )
                )
                for sample in family.samples
            ]
            yield family
