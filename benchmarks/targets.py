"""The targets of the service, and whether it meets them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.plot import figure
from benchmarks.run import Results


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a target; None if a value was not measured."""

    target: str
    found: str
    is_met: bool | None

    @property
    def mark(self) -> str:
        """The result in words, for a table."""
        return "not measured" if self.is_met is None else "met" if self.is_met else "**not met**"


class _Found:
    """The medians by name; a missing one raises KeyError."""

    def __init__(self, results: Results) -> None:
        self._results = results

    def __call__(self, measure: str, value: str, peer: str = "service") -> float:
        return self._results.medians(measure, peer)[value]

    def added(self, value: str, peer: str = "service") -> float:
        """The time added to the first token, over the backend alone."""
        return self("ttft", value, peer) - self("ttft", "p50 ms", "direct")


@dataclass(frozen=True, slots=True)
class _Target:
    text: str
    limit: float
    find: Callable[[_Found], float]
    is_least: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.is_least else value <= self.limit


def _times(measure: str, value: str, peer: str) -> Callable[[_Found], float]:
    return lambda of: of(measure, value) / of(measure, value, peer)


def _added_times(value: str, peer: str) -> Callable[[_Found], float]:
    return lambda of: of.added(value) / of.added(value, peer)


def _service(measure: str, value: str) -> Callable[[_Found], float]:
    return lambda of: of(measure, value)


def _growth(measure: str, most: int, *fewer: int) -> Callable[[_Found], float]:
    return lambda of: of(measure, f"µs at {most}") / min(of(measure, f"µs at {few}") for few in fewer)


_TARGETS = (
    _Target("CPU a token, paced: at most 3.0 x nginx", 3, _times("cpu-paced", "µs", "nginx")),
    _Target("CPU a token, paced: at most 0.4 of the plain recipe", 0.4, _times("cpu-paced", "µs", "recipe")),
    _Target("CPU a token, paced: at most 1/12 of LiteLLM", 1 / 12, _times("cpu-paced", "µs", "litellm")),
    _Target(
        "CPU a token through /v1, paced: at most that of /chat",
        1,
        lambda of: of("cpu-paced", "µs", "service-v1") / of("cpu-paced", "µs"),
    ),
    _Target("CPU a token, in bursts: at most 3.5 x nginx", 3.5, _times("cpu-burst", "µs", "nginx")),
    _Target(
        "CPU of a one-token turn: at most 0.4 of the plain recipe",
        0.4,
        _times("requests", "CPU µs a request", "recipe"),
    ),
    _Target(
        "time to first token added, p50: at most 1/5 of LiteLLM", 1 / 5, _added_times("p50 ms", "litellm")
    ),
    _Target("time to first token added, p50: below the plain recipe", 1, _added_times("p50 ms", "recipe")),
    _Target("time to first token added, p99: below the plain recipe", 1, _added_times("p99 ms", "recipe")),
    _Target(
        "time to first token, 100 at once, p50: at most 25 x nginx", 25, _times("starts", "p50 ms", "nginx")
    ),
    _Target(
        "time to first token, 100 at once, p50: at most half the plain recipe's",
        0.5,
        _times("starts", "p50 ms", "recipe"),
    ),
    _Target("streams open in one process: 5,000", 5000, _service("streams", "open"), is_least=True),
    _Target("streams that end without [DONE]: none", 0, _service("streams", "not whole")),
    _Target("memory a stream: at most 48 KiB", 48, _service("streams", "KiB a stream")),
    _Target("Redis commands a token: at most 0.1", 0.1, _service("redis", "commands")),
    _Target("bytes to Redis: at most 1/4 of the bytes relayed", 1 / 4, _service("redis", "of bytes relayed")),
    _Target("missed events on another process, p95: below 50 ms", 50, _service("resume", "other p95 ms")),
    _Target("tokens on another process: at most 250 ms later", 250, _service("resume", "later max ms")),
    _Target(
        "CPU a token at 1,000 streams: at most 1.25 x fewer", 1.25, _growth("growth-streams", 1000, 10, 100)
    ),
    _Target(
        "CPU a token of 2,000 tokens: at most 1.25 x fewer", 1.25, _growth("growth-answer", 2000, 50, 200)
    ),
    _Target(
        "CPU a token after 1,000 messages: at most 1.25 x none", 1.25, _growth("growth-history", 1000, 0)
    ),
)


def verdicts(results: Results) -> Iterator[Verdict]:
    """Compare the results with every target."""
    found = _Found(results)
    for target in _TARGETS:
        try:
            value = target.find(found)
        except KeyError:
            yield Verdict(target.text, "", is_met=None)
        else:
            yield Verdict(target.text, figure(value), target.is_met(value))
