"""How Grafana and Tempo are set up: consistent with one another, with compose.yaml and with Prometheus."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from waitlab.runtime.local import plan, prometheus

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


@pytest.mark.parametrize("file", DASHBOARDS)
def test_every_dashboard_asks_a_source_there_is(file: str) -> None:
    asked = re.findall(r'"datasource": ({[^}]*})', json.dumps(DASHBOARDS[file]))
    assert asked
    for source in map(json.loads, asked):
        assert source["type"] == SOURCES[source["uid"]]["type"]


def test_an_exemplar_leads_to_its_trace_and_a_trace_back_to_metrics() -> None:
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
