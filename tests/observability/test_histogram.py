"""The histogram of the token path exports what prometheus_client's own does."""

import re

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.openmetrics import exposition

from app.observability.histogram import LoopHistogram

BUCKETS = (0.1, 0.5, 1, 10)


@pytest.mark.parametrize("observed", [(), (0.05, 0.1, 0.5, 0.7, 2, 11, 1e6, 0)])
@pytest.mark.parametrize("format_name", ["text", "openmetrics"])
def test_a_scrape_sees_what_prometheus_clients_histogram_shows(
    observed: tuple[float, ...], format_name: str
) -> None:
    generate = generate_latest if format_name == "text" else exposition.generate_latest
    scrapes = []
    for kind in (Histogram, LoopHistogram):
        registry = CollectorRegistry()
        histogram = kind("a_name_seconds", "What it counts.", registry=registry, buckets=BUCKETS)
        for value in observed:
            histogram.observe(value)
        scrapes.append(re.sub(r"(_created) \S+", r"\1", generate(registry).decode()))
    assert scrapes[0] == scrapes[1]
    assert "a_name_seconds_created" in scrapes[0]


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    LoopHistogram("a_name_seconds", "What it counts.", registry=registry, buckets=BUCKETS)
    with pytest.raises(ValueError, match="Duplicated"):
        LoopHistogram("a_name_seconds", "Another.", registry=registry, buckets=BUCKETS)
