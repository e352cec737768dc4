"""Grafana on the local runtime: there when the machine has one, told the same as in containers, and else not missed.

No Grafana can be had where these tests run, so a stand-in takes its place: a program that writes down how it was called
and answers as Grafana does when asked for its health. What it cannot show is that Grafana itself likes its settings.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runtime.conftest import Lab
from waitlab.errors import LabError
from waitlab.runtime.local import grafana, plan
from waitlab.runtime.local.state import PROJECT

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]["grafana"]["environment"]
# Where things are is each runtime's own: an image has its folders and its address built in.
WHERE = {
    *("LAB_PROMETHEUS_URL", "LAB_TEMPO_URL", "LAB_DASHBOARDS"),
    *("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH", "GF_SECURITY_DATA_SOURCE_PROXY_WHITELIST"),
}
ONLY_LOCAL = {
    *("GF_SERVER_HTTP_ADDR", "GF_SERVER_HTTP_PORT", "GF_LOG_MODE"),
    *("GF_PATHS_DATA", "GF_PATHS_LOGS", "GF_PATHS_PLUGINS", "GF_PATHS_PROVISIONING"),
}
STAND_IN = """#!{python}
import http.server, json, os, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

kept = os.environ["GF_PATHS_DATA"]
os.makedirs(kept)
with open(kept + "/called.json", "w") as file:
    json.dump({{"command": sys.argv[1:], "environment": dict(os.environ)}}, file)
address = os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"])
http.server.HTTPServer(address, Health).serve_forever()
"""


def install(home: Path, name: str = "grafana") -> Path:
    """A stand-in as a download of Grafana lies in its folder; the path of its program."""
    program = home / "bin" / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(STAND_IN.format(python=sys.executable))
    program.chmod(0o755)
    (home / "conf").mkdir(exist_ok=True)
    (home / "conf/defaults.ini").touch()
    return program


def names_of(environment: dict[str, str]) -> set[str]:
    return {part.name for part in plan.read(environment).parts}


def test_a_lab_without_grafana_is_the_lab_it_was(tmp_path: Path) -> None:
    lab = plan.read({"PATH": str(tmp_path)})
    assert [part.name for part in lab.parts] == [name for name in plan.PARTS if name not in ("edge", "grafana")]
    assert "GRAFANA_PORT" not in lab.ports


def test_a_grafana_on_path_is_used_unless_it_is_left_out(tmp_path: Path) -> None:
    path = {"PATH": str(install(tmp_path).parent)}
    assert names_of(path) == set(plan.PARTS) - {"edge"}
    assert names_of({**path, "LAB_GRAFANA": "0"}) == set(plan.PARTS) - {"edge", "grafana"}


@pytest.mark.parametrize(("name", "verb"), [("grafana", ["server"]), ("grafana-server", [])])
def test_either_program_of_grafana_is_started_with_its_folder(tmp_path: Path, name: str, verb: list[str]) -> None:
    program = install(tmp_path / "there", name)
    link = tmp_path / "bin" / name
    link.parent.mkdir()
    link.symlink_to(program)
    expected = [*verb, f"--homepath={tmp_path}/there", "--config=/dev/null"]
    assert grafana.found({"PATH": str(link.parent)}) == [str(link), *expected]
    assert grafana.found({"PATH": "", "GRAFANA_BIN": str(program)}) == [str(program), *expected]


def test_grafanas_folder_can_be_elsewhere(tmp_path: Path) -> None:
    install(tmp_path / "share")
    program = install(tmp_path / "other").rename(tmp_path / "grafana")
    found = grafana.found({"GRAFANA_BIN": str(program), "GRAFANA_HOME": str(tmp_path / "share")})
    assert found is not None
    assert f"--homepath={tmp_path}/share" in found


@pytest.mark.parametrize(
    ("environment", "only", "said", "code"),
    [
        ({"GRAFANA_BIN": "/nowhere/grafana"}, (), "GRAFANA_BIN=/nowhere/grafana", 122),
        ({"GRAFANA_BIN": "/bin/true", "GRAFANA_HOME": "/nowhere"}, (), "no conf/defaults.ini in /nowhere", 122),
        ({"PATH": ""}, ("grafana",), "there is no Grafana", 122),
        ({"LAB_GRAFANA": "no"}, (), "LAB_GRAFANA='no'", 2),
        ({"GRAFANA_PROT": "3001"}, (), "GRAFANA_PROT is not a setting", 2),
        ({"GRAFANA_BINN": "grafana"}, (), "GRAFANA_BINN is not a setting", 2),
    ],
)
def test_what_cannot_be_is_named(environment: dict[str, str], only: tuple[str, ...], said: str, code: int) -> None:
    with pytest.raises(LabError) as refused:
        plan.read(environment, only)
    assert said in refused.value.message
    assert refused.value.code == code


def test_grafana_without_prometheus_has_nothing_to_show(tmp_path: Path) -> None:
    with pytest.raises(LabError) as refused:
        plan.read({"GRAFANA_BIN": str(install(tmp_path))}, ("grafana",))
    assert "--only prometheus" in refused.value.remedy


def test_both_runtimes_tell_grafana_the_same() -> None:
    local = grafana.environment(Path("/run"), 3000, "http://127.0.0.1:9090")
    inside = {name: re.sub(r",\s+", ",", value) for name, value in COMPOSE.items()}
    assert {name: local[name] for name in local.keys() - WHERE - ONLY_LOCAL} == {
        name: inside[name] for name in inside.keys() - WHERE
    }
    assert set(local) - set(inside) == ONLY_LOCAL


def test_a_grafana_is_started_watched_and_ended_with_the_lab(lab: Lab, tmp_path: Path) -> None:
    program = install(tmp_path / "grafana")
    path = {"PATH": f"{program.parent}{os.pathsep}{lab.environment['PATH']}"}
    started = lab("up", "--only", "prometheus", "--only", "grafana", **path, GF_DATABASE_HOST="db.example.com")
    assert started.returncode == 0, started.stderr
    url = f"http://127.0.0.1:{lab.environment['GRAFANA_PORT']}"
    assert url in lab("addresses").stdout
    status = lab.status()["parts"]["grafana"]
    assert (status["healthy"], status["url"]) == (True, url)

    folder = lab.home.run("grafana")
    called = json.loads((folder / "data/called.json").read_text())
    told = called["environment"]
    prometheus = f"http://127.0.0.1:{lab.environment['PROMETHEUS_PORT']}"
    expected = grafana.environment(folder, int(lab.environment["GRAFANA_PORT"]), prometheus)
    assert {name: told.get(name) for name in expected} == expected
    assert "GF_DATABASE_HOST" not in told
    assert Path(told["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).exists()
    assert {file.name for file in Path(told["GF_PATHS_PROVISIONING"]).iterdir()} == {"dashboards", "datasources"}

    assert lab("down").returncode == 0
    assert not lab.leftovers()
    assert not folder.exists()
