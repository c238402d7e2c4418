"""The dashboard and the alerts ask for what the service exports, and say what they show."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.api.errors import STATUS
from app.observability.metrics import Metrics

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())
OPERATIONS = (ROOT / "docs/operations.md").read_text()

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = [variable for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query"]
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"]]

QUOTED = re.compile(r'"[^"]*"')
BRACED = re.compile(r"\{[^}]*\}")
RANGE = re.compile(r"\[[^]]*\]")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
NO_FUNCTION = re.compile(r"(?<![\w:])[a-zA-Z_:][\w:]*\b(?!\s*\()")
OPERATORS = {"and", "or", "unless", "offset"}
SELECTOR = re.compile(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")  # Grafana's own
LABELS_OF_TARGETS = {"job", "instance"}
CODES = {error.code for error in STATUS}


def samples() -> Mapping[str, set[str]]:
    """What a scrape brings, each name with its labels."""
    metrics = Metrics()
    # A counter with labels has no sample before it has counted.
    metrics.turns.labels(outcome="complete", code="")
    metrics.tokens.labels(direction="input")
    metrics.follows.labels(place="here")
    metrics.request_errors.labels(code="overloaded")
    metrics.attempt_ended("default", "complete")
    metrics.content_began("default", 0.1)
    metrics.watch_backend("default", ["a-model"], running=lambda: 0, is_open=lambda _: False)
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    exported = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    return {"up": set(), **exported}  # up is Prometheus's own


SAMPLES = samples()


def metrics_of(expression: str) -> set[str]:
    for part in (QUOTED, BRACED, RANGE, GROUPING):
        expression = part.sub("", expression)
    return set(NO_FUNCTION.findall(expression)) - OPERATORS


def labels_of(expression: str) -> set[tuple[str, str]]:
    """Metrics with the labels that they are selected and grouped by; groups are held against all metrics."""
    selected = {
        (metric, label)
        for metric, matchers in SELECTOR.findall(expression)
        for label, _ in MATCHER.findall(matchers)
    }
    groups = " ".join(GROUPING.findall(expression))
    return selected | {
        (metric, label) for metric in metrics_of(expression) for label in re.findall(r"\w+", groups)
    }


def codes_of(expression: str) -> set[str]:
    """Codes of errors, and patterns of them."""
    return {
        code
        for label, value in MATCHER.findall(expression)
        if label == "code"
        for code in value.split("|")
        if code
    }


def unknown_in(expression: str) -> set[str]:
    """What an expression asks for and nothing exports."""
    return (
        (metrics_of(expression) - SAMPLES.keys())
        | {
            f"{metric}: {label}"
            for metric, label in labels_of(expression)
            if label not in SAMPLES.get(metric, {label}) | LABELS_OF_TARGETS
        }
        | {code for code in codes_of(expression) if not any(re.fullmatch(code, known) for known in CODES)}
    )


EXPRESSIONS = {
    **{
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in PANELS
        for target in panel["targets"]
    },
    **{each["name"]: LABEL_VALUES.sub(r"count by (\2) (\1)", each["query"]) for each in VARIABLES},
    **{alert["alert"]: alert["expr"] for alert in ALERTS},
}


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS.keys())
def test_what_is_asked_for_is_exported(expression: str) -> None:
    assert metrics_of(expression)
    assert not unknown_in(expression)


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ("chat_activ_turns > 3", "chat_activ_turns"),
        ("sum(rate(chat_turns[5m])) / sum(rate(chat_turns_total[5m]))", "chat_turns"),
        ("chat_readers or chat_writers offset 5m", "chat_writers"),
        ('chat_turns_total{status="error"}', "chat_turns_total: status"),
        ("sum by (job, place) (rate(chat_tokens_total[5m]))", "chat_tokens_total: place"),
        ("sum by (le) (chat_turn_duration_seconds_sum)", "chat_turn_duration_seconds_sum: le"),
        ('chat_request_errors_total{code="redis_unavailable"}', "redis_unavailable"),
        ('chat_request_errors_total{code=~"overloaded|backend_.+"}', "backend_.+"),
    ],
)
def test_what_nothing_exports_is_found(expression: str, unknown: str) -> None:
    assert unknown_in(expression) == {unknown}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_has_a_unit_and_a_description(panel: dict[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["description"].endswith(".")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_shows_the_instances_that_were_chosen(panel: dict[str, Any]) -> None:
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        selectors = SELECTOR.findall(target["expr"])
        assert {metric for metric, _ in selectors} == metrics_of(target["expr"])
        assert all(
            {("job", "$job"), ("instance", "$instance")} <= set(MATCHER.findall(each))
            for _, each in selectors
        )


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+m", alert["for"])
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert alert["annotations"]["summary"].endswith(".")
    assert alert["annotations"]["description"].endswith(".")


def test_the_page_lists_every_alert_with_its_severity() -> None:
    listed = re.findall(r"^\| `(Chat\w+)` \| (\w+) \|", OPERATIONS, re.MULTILINE)
    assert listed == [(alert["alert"], alert["labels"]["severity"]) for alert in ALERTS]
