"""docs/monitoring against the metrics that exist: a dashboard of names that nobody exposes shows nothing, quietly."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from infra import metrics

_FOLDER: Final = Path(__file__).parents[1] / "docs" / "monitoring"
_README: Final = (_FOLDER / "README.md").read_text()

#: Labels that Prometheus adds by itself.
_ADDED: Final = frozenset({"job", "instance"})
_WORDS: Final = frozenset(
    {"sum", "max", "min", "by", "without", "ignoring", "on", "group_left", "group_right", "or", "and"}
)
_FUNCTIONS: Final = frozenset({"rate", "increase", "histogram_quantile"})


def _series() -> dict[str, frozenset[str]]:
    """Every series that a scrape of either side may have, with its labels."""
    found: dict[str, frozenset[str]] = {"up": frozenset()}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            labels = frozenset(metric._labelnames)
            name = metric.describe()[0].name
            if isinstance(metric, Histogram):
                found |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
            else:
                found[f"{name}_total" if isinstance(metric, Counter) else name] = labels
    for registry in (metrics.API, metrics.WORKER):
        for family in registry.collect():
            for sample in family.samples:
                found.setdefault(sample.name, frozenset(sample.labels))
    return found


def _expressions() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((_FOLDER / "dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
            # What a legend names must be there too.
            labels = re.findall(r"{{(\w+)}}", target["legendFormat"])  # what a legend names must be there too
            yield panel["title"], f"sum by ({', '.join(labels)}) ({target['expr']})"
    for group in yaml.safe_load((_FOLDER / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
            labels = re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"]))
            yield rule["alert"], f"sum by ({', '.join(labels)}) ({rule['expr']})"


def _faults_of(expression: str, series: Mapping[str, frozenset[str]]) -> list[str]:
    """What the expression names and nothing exposes. Knows as much of PromQL as these files use."""
    faults = []
    text = re.sub(r"\[[^]]*\]", "", expression)
    for name, matchers in re.findall(r"(\w+)\s*\{([^}]*)\}", text):
        used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        faults += [f"{name} has no label {label}" for label in used - series.get(name, frozenset()) - _ADDED]
    text = re.sub(r"\{[^}]*\}", "", text)
    grouped = re.findall(r"\b(?:by|without|ignoring|on)\s*\(([^)]*)\)", text)
    text = re.sub(r"\b(?:by|without|ignoring|on)\s*\([^)]*\)", "", text)
    named = set(re.findall(r"\b[a-z_]\w*\b", text)) - _WORDS - _FUNCTIONS
    faults += [f"there is no {name}" for name in named - series.keys()]
    labels = _ADDED.union(*(series.get(name, frozenset()) for name in named))
    faults += [f"nothing has a label {each}" for each in {*re.findall(r"\w+", " ".join(grouped))} - labels]
    return faults


@pytest.mark.parametrize(("where", "expression"), sorted(set(_expressions())))
def test_dashboard_and_alerts_name_only_what_is_exposed(where: str, expression: str) -> None:
    assert _faults_of(expression, _series()) == [], where


@pytest.mark.parametrize(
    "expression",
    [
        "thumbstream_nothing",
        "rate(thumbstream_results[5m])",
        'sum(thumbstream_photos{state="ready"})',
        "sum by (nothing) (thumbstream_photos)",
        "thumbstream_render_seconds",
    ],
)
def test_a_name_that_is_wrong_would_be_found(expression: str) -> None:
    assert _faults_of(expression, _series())


def test_the_dashboard_shows_and_the_table_explains_every_metric_of_ours() -> None:
    shown = " ".join(expression for _, expression in _expressions())
    for name in {re.sub(r"_(bucket|sum|count)$", "", each) for each in _series() if each.startswith("thumbstream_")}:
        assert name in shown, f"{name} is on no panel"
        assert f"`{name}`" in _README, f"{name} is not in the table"


def test_the_table_explains_no_metric_that_is_gone() -> None:
    known = {re.sub(r"_(bucket|sum|count)$", "", each) for each in _series()}
    assert set(re.findall(r"`(thumbstream_\w+)`", _README)) <= known


def test_an_api_exposes_nothing_of_a_workers_and_the_other_way_round() -> None:
    def names(registry: CollectorRegistry) -> set[str]:
        return {family.name for family in registry.collect() if family.name.startswith("thumbstream_")}

    assert names(metrics.API)
    assert names(metrics.WORKER)
    assert not names(metrics.API) & names(metrics.WORKER)


def _promtool() -> str:
    """Prometheus's own checker: Debian's package ``prometheus`` has it."""
    found = shutil.which("promtool")
    if found is None and os.environ.get("TEST_REQUIRE_ALL") == "1":
        pytest.fail("promtool is not installed, and TEST_REQUIRE_ALL forbids to skip", pytrace=False)
    return found or pytest.skip("promtool is not installed")


def _run(*command: str, given: bytes = b"") -> str:
    done = subprocess.run(command, input=given, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


@pytest.mark.servers
def test_promtool_finds_no_fault_with_the_rules() -> None:
    rules: list[Any] = yaml.safe_load((_FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    assert f"{len(rules)} rules found" in _run(_promtool(), "check", "rules", str(_FOLDER / "alerts.yml"))


@pytest.mark.servers
@pytest.mark.parametrize("registry", [metrics.API, metrics.WORKER], ids=["api", "worker"])
def test_promtool_finds_no_fault_with_the_names(registry: CollectorRegistry) -> None:
    ours = [
        part for part in re.split(rb"(?=^# HELP )", generate_latest(registry), flags=re.M) if b" thumbstream_" in part
    ]
    assert _run(_promtool(), "check", "metrics", given=b"".join(ours)) == ""
