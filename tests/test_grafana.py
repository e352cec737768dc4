"""What Grafana and Tempo are given: valid, consistent with itself, and asking only for what the lab has."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from waitlab.runtime.local import plan, prometheus
from waitlab.telemetry import names

PROJECT = Path(__file__).resolve().parent.parent
DASHBOARDS = {file.name: json.loads(file.read_text()) for file in (PROJECT / "grafana/dashboards").glob("*.json")}
PROVISIONING = PROJECT / "grafana/provisioning"
SOURCES: dict[str, dict[str, Any]] = {
    source["uid"]: source
    for file in (PROVISIONING / "datasources").glob("*.yaml")
    for source in yaml.safe_load(file.read_text())["datasources"]
}
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]
TEMPO: dict[str, Any] = yaml.safe_load((PROJECT / "tempo/tempo.yaml").read_text())
SCRAPE: dict[str, Any] = yaml.safe_load((prometheus.CONFIGURATION / "prometheus.yml").read_text())["global"]

METRICS = {value for value in vars(names).values() if isinstance(value, str)}
LABELS = {
    *(names.SERVICE, names.WORKER, "replica"),  # whose figure it is
    *("style", "workload", "status", "le"),  # of requests
    *("outcome", "state", "mode", "kind", "resource", "pool", "reason"),  # of what there are several
    *("name", "process"),  # of the load
    *("job", "instance"),  # Prometheus' own
}
RATE_INTERVAL = "8s"  # what $__rate_interval is at the least: four scrapes
# Rows of a dashboard's grid that a window of 1920 x 1080 shows below Grafana's own bars, 38 pixels each.
ROWS_ON_A_SCREEN = 24

Panel = dict[str, Any]
PANELS = [
    pytest.param(panel, id=f"{file}: {panel['title']}")
    for file, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
]


def expressions(panel: Panel) -> list[str]:
    return [target["expr"].replace("$__rate_interval", RATE_INTERVAL) for target in panel["targets"]]


def every_expression() -> Iterator[str]:
    for dashboard in DASHBOARDS.values():
        for panel in dashboard["panels"]:
            yield from expressions(panel)
    for query in SOURCES["tempo"]["jsonData"]["tracesToMetrics"]["queries"]:
        plain = query["query"].replace("$$__tags", 'service="flask", worker="1"')
        yield plain.replace("$$__rate_interval", RATE_INTERVAL)


def metrics_of(expression: str) -> set[str]:
    found = re.findall(r"\b(?:lab|http_server)_\w+", re.sub(r'"[^"]*"', "", expression))
    return {re.sub(r"_(bucket|count|sum)$", "", metric) for metric in found}


def labels_of(expression: str) -> set[str]:
    unquoted = re.sub(r'"[^"]*"', '""', expression)
    matched = re.findall(r'(\w+) *(?:=~|!~|!=|=)""', unquoted)
    grouped = re.findall(r"\b(?:by|without|on|ignoring) *\(([^)]*)\)", unquoted)
    return {*matched, *(label.strip() for group in grouped for label in group.split(","))}


def test_promtool_parses_every_expression(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{n}", "expr": asked} for n, asked in enumerate(every_expression())]
    file = tmp_path / "expressions.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": rules}]}))
    promtool = prometheus.ensure(os.environ, print).parent / "promtool"
    command = [str(promtool) if promtool.exists() else shutil.which("promtool") or "promtool", "check", "rules"]
    checked = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules)} rules found" in checked.stdout + checked.stderr


@pytest.mark.parametrize("expression", [*every_expression()])
def test_every_expression_asks_for_metrics_and_labels_there_are(expression: str) -> None:
    assert metrics_of(expression)
    assert metrics_of(expression) <= METRICS
    assert labels_of(expression) <= LABELS


@pytest.mark.parametrize("panel", PANELS)
def test_every_expression_of_a_panel_is_tested_on_known_figures(panel: Panel) -> None:
    cases = yaml.safe_load((prometheus.CONFIGURATION / "rules_test.yml").read_text())["tests"]
    tested = {case["expr"] for test in cases for case in test.get("promql_expr_test", ())}
    assert set(expressions(panel)) <= tested


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_says_what_it_shows_and_what_it_cannot_show(panel: Panel) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 80
    assert re.search(r"cannot show|lies somewhere in its bucket", panel["description"])
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["options"]["legend"]["showLegend"]
    for target in panel["targets"]:
        assert target["legendFormat"]
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels_of(target["expr"])


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_asks_a_source_there_is(panel: Panel) -> None:
    for asked in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
        assert asked["type"] == SOURCES[asked["uid"]]["type"]


@pytest.mark.parametrize("file", DASHBOARDS)
def test_a_dashboard_fits_on_one_screen_without_gap_or_overlap(file: str) -> None:
    cells = [
        (column, row)
        for at in (panel["gridPos"] for panel in DASHBOARDS[file]["panels"])
        for column in range(at["x"], at["x"] + at["w"])
        for row in range(at["y"], at["y"] + at["h"])
    ]
    assert sorted(cells) == [(column, row) for column in range(24) for row in range(ROWS_ON_A_SCREEN)]
    panel_ids = [panel["id"] for panel in DASHBOARDS[file]["panels"]]
    assert len(set(panel_ids)) == len(panel_ids)


def test_a_service_has_one_colour_everywhere() -> None:
    colours: dict[str, set[str]] = {service: set() for service in plan.SERVICES}
    for panel in (panel for dashboard in DASHBOARDS.values() for panel in dashboard["panels"]):
        for override in panel["fieldConfig"]["overrides"]:
            for service in plan.SERVICES:
                about = override["matcher"]["options"].startswith(f"/^{service}") or panel["title"].startswith(service)
                for change in override["properties"]:
                    if about and change["id"] == "color":
                        colours[service].add(change["value"]["fixedColor"])
    assert all(len(found) == 1 for found in colours.values()), colours
    assert len(set.union(*colours.values())) == len(colours)


def test_only_latency_has_exemplars_and_each_leads_to_a_trace() -> None:
    asked = {
        metric
        for dashboard in DASHBOARDS.values()
        for panel in dashboard["panels"]
        for target in panel["targets"]
        if target["exemplar"]
        for metric in metrics_of(target["expr"])
    }
    assert asked == {names.REQUEST_DURATION}
    (destination,) = SOURCES["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert SOURCES[destination["datasourceUid"]]["type"] == "tempo"
    assert '"trace_id"' in (PROJECT / "waitlab/telemetry/worker.py").read_text()
    assert destination["name"] == "trace_id"
    assert SOURCES[SOURCES["tempo"]["jsonData"]["tracesToMetrics"]["datasourceUid"]]["type"] == "prometheus"


def test_grafana_knows_how_often_prometheus_asks() -> None:
    assert SOURCES["prometheus"]["jsonData"]["timeInterval"] == SCRAPE["scrape_interval"]


def test_compose_gives_grafana_what_its_files_take_from_the_environment() -> None:
    given = COMPOSE["grafana"]["environment"]
    for file in PROVISIONING.glob("*/*.yaml"):
        code = "\n".join(line.partition("#")[0] for line in file.read_text().splitlines())
        taken = set(re.findall(r"(?<!\$)\$(?!\$)\{?(\w*)", code.replace("$$", "")))
        assert {name for name in taken if name} <= set(given), file.name
    home = Path(given["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == given["LAB_DASHBOARDS"]
    assert home.name in DASHBOARDS


def test_nobody_can_change_a_dashboard_in_grafana() -> None:
    for file in (PROVISIONING / "dashboards").glob("*.yaml"):
        for provider in yaml.safe_load(file.read_text())["providers"]:
            assert provider["allowUiUpdates"] is False
    given = COMPOSE["grafana"]["environment"]
    assert given["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert given["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert given["GF_AUTH_BASIC_ENABLED"] == "false"


def test_grafana_loads_no_plugin_from_outside() -> None:
    """On a read-only root its start-up installer takes a data source away, fails to replace it, and leaves none."""
    given = COMPOSE["grafana"]["environment"]
    assert given["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    assert given["GF_PLUGINS_PREINSTALL_AUTO_UPDATE"] == "false"


def test_tempo_listens_where_the_services_send() -> None:
    receiver = TEMPO["distributor"]["receivers"]["otlp"]["protocols"]["http"]["endpoint"]
    for service in plan.SERVICES:
        assert f"http://tempo:{receiver.rpartition(':')[2]}" in COMPOSE[service]["environment"]["OTLP_ENDPOINT"]
    given = COMPOSE["grafana"]["environment"]
    assert given["LAB_TEMPO_URL"] == f"http://tempo:{TEMPO['server']['http_listen_port']}"


def test_a_trace_can_be_found_within_five_seconds() -> None:
    """What Tempo waits by design, half a second of the service's exporter and as much for the work added up."""
    waits = (
        TEMPO["live_store"]["max_trace_idle"],
        TEMPO["live_store"]["flush_check_period"],
        TEMPO["query_frontend"]["query_end_cutoff"],
    )
    assert sum(int(wait.removesuffix("s")) for wait in waits) + 1 <= 5


def test_tempo_keeps_its_data_where_compose_lets_it_write() -> None:
    (folder,) = (mount.partition(":")[0] for mount in COMPOSE["tempo"]["tmpfs"] if mount.startswith("/var"))
    kept = (TEMPO["storage"]["trace"]["wal"]["path"], TEMPO["storage"]["trace"]["local"]["path"])
    assert all(path.startswith(f"{folder}/") for path in kept)
    assert TEMPO["usage_report"]["reporting_enabled"] is False
