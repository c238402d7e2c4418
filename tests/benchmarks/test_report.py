"""What a reader of the results is told."""

from benchmarks.report import redis_commands, results_table
from benchmarks.run import Results
from benchmarks.targets import verdicts


def _results(**microseconds: float) -> Results:
    results = Results()
    for peer, value in microseconds.items():
        results.values["cpu-paced", peer] = [{"µs": value}]
    return results


def test_medians_are_over_the_rounds() -> None:
    results = Results()
    results.values["start", "service"] = [{"s": 1.0}, {"s": 9.0}, {"s": 2.0}]
    assert results.medians("start", "service") == {"s": 2.0}


def test_a_row_says_how_many_times_nginx_it_is() -> None:
    row = results_table(_results(nginx=20, service=50)).splitlines()[-1]
    assert "| 50 (x 2.5)" in row


def test_a_target_is_met_not_met_or_not_measured() -> None:
    found = {each.target: each.is_met for each in verdicts(_results(nginx=20, service=50, recipe=100))}
    assert found["CPU a token, paced: at most 3.0 x nginx"] is True
    assert found["CPU a token, paced: at most 0.4 of the plain recipe"] is False
    assert found["CPU a token, paced: at most 1/12 of LiteLLM"] is None


def test_redis_commands_are_named() -> None:
    results = Results()
    results.values["redis", "service"] = [{"commands": 0.1, "xadd a turn": 5.0, "evalsha a turn": 2.0}]
    assert redis_commands(results) == "XADD 5, EVALSHA 2"
