"""What every dashboard obeys: it can be read, it fits a screen, it asks only for what there is, and Grafana has it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from services import contract
from waitlab.dashboards import ALL, ANNOTATIONS, VARIABLES, where_time_goes
from waitlab.dashboards.vocabulary import SERVICES, Panel, Query
from waitlab.runtime.local import prometheus
from waitlab.serve.settings import Settings
from waitlab.telemetry import names

PROJECT = Path(__file__).resolve().parents[2]
GRAFANA = {said.name: json.loads((PROJECT / f"grafana/dashboards/{said.name}.json").read_text()) for said in ALL}
RULES_FILE = prometheus.CONFIGURATION / "rules.yml"
TEMPO = yaml.safe_load((PROJECT / "grafana/provisioning/datasources/waitlab.yaml").read_text())["datasources"][1]
RULES = [rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}

METRICS = {
    *(value for value in vars(names).values() if isinstance(value, str)),
    *RECORDED,
    *("ALERTS", "ALERTS_FOR_STATE"),
}
LABELS = {
    *(names.SERVICE, names.WORKER, "replica"),  # whose figure it is
    *("style", "workload", "status", "le"),  # of requests
    *(
        "outcome",
        "state",
        "mode",
        "kind",
        "resource",
        "pool",
        "reason",
        "direction",
        "event",
    ),  # of what there are several
    *("name", "process", "run", "arm", "part"),  # of the load
    *("job", "instance", "alertname", "alertstate"),  # Prometheus' own
    *(*Settings.__dataclass_fields__, "cpus"),  # of lab_service_info
    "workers",  # of an annotation, which makes it itself
}
STYLED = (names.REQUEST_DURATION, names.REQUEST_QUEUE, names.LOAD_REQUESTS, names.LOAD_RESPONSE, names.LOAD_PARTS)
RATE_INTERVAL = "8s"  # what $__rate_interval is at the least: four scrapes
# Rows of a dashboard's grid that a window of 1920 x 1080 shows below Grafana's own bars, 38 pixels each.
ROWS_ON_A_SCREEN = 24

PANELS = [pytest.param(panel, id=f"{said.name}: {panel.title}") for said in ALL for panel in said.panels]
QUERIES = [query for said in ALL for panel in said.panels if panel.kind != "traces" for query in panel.queries]
EXPRESSIONS = sorted({query.expr for query in QUERIES} | {annotation.expr for annotation in ANNOTATIONS}) + [
    query["query"].replace("$$__tags", 'service="flask", worker="1"').replace("$$", "$")
    for query in TEMPO["jsonData"]["tracesToMetrics"]["queries"]
]


def metrics_of(expression: str) -> set[str]:
    unquoted = re.sub(r'"[^"]*"', "", expression)
    found = re.findall(r"\b(?:(?:lab|http_server)_\w+|\w+:\w+:\w+|ALERTS\w*)", unquoted)
    return {re.sub(r"_(bucket|count|sum)$", "", metric) for metric in found}


def labels_of(expression: str) -> set[str]:
    unquoted = re.sub(r'"[^"]*"', '""', expression)
    matched = re.findall(r'(\w+) *(?:=~|!~|!=|=)""', unquoted)
    grouped = re.findall(r"\b(?:by|without|on|ignoring) *\(([^)]*)\)", unquoted)
    made = re.findall(r'count_values by \(\w+\) \("(\w+)"', expression)
    return {*matched, *(label.strip() for group in grouped for label in group.split(",")), *made}


def test_the_committed_files_are_what_the_writer_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, PROJECT / "grafana/write.py", tmp_path], check=True)
    written = {file.name: file.read_text() for file in tmp_path.iterdir()}
    committed = {file.name: file.read_text() for file in (PROJECT / "grafana/dashboards").iterdir()}
    assert written == committed, "make dashboards writes them anew"


def test_promtool_parses_every_expression(tmp_path: Path) -> None:
    plain = [asked.replace("$__rate_interval", RATE_INTERVAL) for asked in EXPRESSIONS]
    rules = [{"record": f"panel:{n}", "expr": asked} for n, asked in enumerate(plain)]
    file = tmp_path / "expressions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": rules}]}))
    promtool = prometheus.ensure(os.environ, print).parent / "promtool"
    command = [str(promtool) if promtool.exists() else shutil.which("promtool") or "promtool", "check", "rules"]
    checked = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout + checked.stderr


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_asks_for_metrics_and_labels_there_are(expression: str) -> None:
    assert metrics_of(expression)
    assert metrics_of(expression) <= METRICS
    assert labels_of(expression) <= LABELS


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_says_what_it_shows_and_what_it_cannot_show(panel: Panel) -> None:
    assert len(panel.description) > 80
    assert "cannot show" in panel.description
    for query in panel.queries:
        assert query.legend
        recorded = "".join(RECORDED.get(metric, "") for metric in metrics_of(query.expr))
        assert set(re.findall(r"{{(\w+)}}", query.legend)) <= labels_of(query.expr + recorded)


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_shows_what_the_reader_chose(panel: Panel) -> None:
    """CPU knows no style: the shares of waiting and CPU are those of a whole service."""
    for query in panel.queries:
        styled = len(re.findall("|".join(STYLED), query.expr)) if panel is not where_time_goes.SHARES else 0
        assert query.expr.count('style=~"$style", workload=~"$workload"') == styled


@pytest.mark.parametrize("panel", PANELS)
def test_a_line_of_a_service_can_be_told_by_its_colour(panel: Panel) -> None:
    """The writers know a service by the first word of a line's name; a request's own name begins with it too."""
    for query in panel.queries if panel.kind == "lines" else ():
        assert not re.search(r"\bby \(service\b", query.expr) or query.legend.startswith("{{service}}")
    assert panel.service in ("", panel.title.partition(":")[0])


def test_every_service_has_a_colour_of_its_own() -> None:
    assert set(SERVICES) == set(contract.SERVICES)
    assert len(set(SERVICES.values())) == len(SERVICES)


def test_a_service_has_one_colour_everywhere_in_grafana() -> None:
    colours: dict[str, set[str]] = {service: set() for service in SERVICES}
    for panel in (panel for dashboard in GRAFANA.values() for panel in dashboard["panels"] if "targets" in panel):
        for service in SERVICES:
            if panel["title"].startswith(f"{service}:"):
                colours[service].add(panel["fieldConfig"]["defaults"]["color"]["fixedColor"])
            for override in panel["fieldConfig"]["overrides"]:
                if override["matcher"]["options"].startswith(f"/^{service}"):
                    colours[service] |= {change["value"]["fixedColor"] for change in override["properties"]}
    assert colours == {service: {colour} for service, colour in SERVICES.items()}


@pytest.mark.parametrize("dashboard", GRAFANA.values(), ids=GRAFANA)
def test_the_first_row_fits_on_one_screen_and_nothing_has_a_gap_or_overlap(dashboard: dict[str, Any]) -> None:
    panels = dashboard["panels"]
    assert [panel["id"] for panel in panels] == [*range(1, len(panels) + 1)]
    cells = [
        (row, column)
        for at in (panel["gridPos"] for panel in panels)
        for row in range(at["y"], at["y"] + at["h"])
        for column in range(at["x"], at["x"] + at["w"])
    ]
    rows = max(row for row, _ in cells) + 1
    assert sorted(cells) == [(row, column) for row in range(rows) for column in range(24)]
    later = [panel["gridPos"]["y"] for panel in panels[1:] if panel["type"] == "row"]
    assert min([*later, rows]) <= ROWS_ON_A_SCREEN


@pytest.mark.parametrize("dashboard", GRAFANA.values(), ids=GRAFANA)
def test_the_reader_takes_time_and_choices_along_to_the_other_dashboards(dashboard: dict[str, Any]) -> None:
    (link,) = dashboard["links"]
    assert link["keepTime"]
    assert link["includeVars"]
    assert set(link["tags"]) <= set(dashboard["tags"])
    choices = dashboard["templating"]["list"]
    assert (
        [choice["name"] for choice in choices] == [said.name for said in VARIABLES] == ["service", "style", "workload"]
    )
    assert all(choice["multi"] and choice["includeAll"] and choice["allValue"] == ".*" for choice in choices)


def test_the_choices_are_values_of_labels_there_are() -> None:
    assert {metric for said in VARIABLES for metric in metrics_of(said.metric)} <= METRICS
    assert {said.label for said in VARIABLES} <= LABELS


def test_only_the_servers_latency_has_exemplars() -> None:
    asked: list[Query] = [query for query in QUERIES if query.exemplars]
    assert set.union(*(metrics_of(query.expr) for query in asked)) == {names.REQUEST_DURATION}
