"""A Grafana that is on this machine, told what compose.yaml tells the one in containers, but for addresses and folders.

None is downloaded: without one the lab is complete, and `lab panels` draws the same dashboards.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from waitlab.errors import LabError
from waitlab.runtime.local.state import PROJECT

PROGRAMS = ("grafana", "grafana-server")  # since Grafana 9 and before
PACKAGED = Path("/usr/share/grafana")  # where the distributions' packages have what is not the program
REMEDY = "GRAFANA_BIN is its program, GRAFANA_HOME the folder of its conf/ and public/; LAB_GRAFANA=0 leaves it out"
DASHBOARDS = PROJECT / "grafana/dashboards"
# The local runtime starts no Tempo. The data source looks where one that the user started would be, and else says so.
TEMPO = "http://127.0.0.1:3200"

# What compose.yaml gives its grafana too; a test holds them equal.
SHARED = {
    "GF_AUTH_ANONYMOUS_ENABLED": "true",
    "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
    "GF_AUTH_DISABLE_LOGIN_FORM": "true",
    "GF_AUTH_BASIC_ENABLED": "false",
    "GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION": "true",
    "GF_SECURITY_DISABLE_GRAVATAR": "true",
    "GF_USERS_VIEWERS_CAN_EDIT": "true",
    "GF_ANALYTICS_REPORTING_ENABLED": "false",
    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
    "GF_ANALYTICS_FEEDBACK_LINKS_ENABLED": "false",
    "GF_NEWS_NEWS_FEED_ENABLED": "false",
    "GF_PLUGINS_PREINSTALL_DISABLED": "true",
    "GF_PLUGINS_PREINSTALL_AUTO_UPDATE": "false",
    "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
    "GF_PLUGINS_PUBLIC_KEY_RETRIEVAL_DISABLED": "true",
    "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
    "GF_PLUGINS_DISABLE_PLUGINS": "cloudwatch,elasticsearch,grafana-azure-monitor-datasource,"
    "grafana-exploretraces-app,grafana-lokiexplore-app,grafana-metricsdrilldown-app,grafana-postgresql-datasource,"
    "grafana-pyroscope-app,grafana-pyroscope-datasource,grafana-testdata-datasource,graphite,influxdb,jaeger,loki,"
    "mssql,mysql,opentsdb,parca,stackdriver,zipkin",
}


def found(environment: Mapping[str, str]) -> list[str] | None:
    """The command of the Grafana to use: GRAFANA_BIN, else on PATH; None without one. LabError 122 for a wrong name."""
    named = environment.get("GRAFANA_BIN")
    paths = [shutil.which(name, path=environment.get("PATH")) for name in ((named,) if named else PROGRAMS)]
    binary = next((Path(path).absolute() for path in paths if path), None)
    if named and binary is None:
        raise LabError(f"GRAFANA_BIN={named}: there is no such program that can be run", REMEDY, 122)
    home = _home(environment, binary) if binary else None
    if binary is None or home is None:
        return None
    # No settings file of this machine: it may name another port, another login, another database to write to.
    verb = [] if binary.name.endswith("-server") else ["server"]
    return [str(binary), *verb, f"--homepath={home}", "--config=/dev/null"]


def environment(folder: Path, port: int, prometheus_url: str) -> dict[str, str]:
    """What makes it the lab's: it answers this machine only, and keeps all that it writes in `folder`."""
    return {
        **SHARED,
        "LAB_PROMETHEUS_URL": prometheus_url,
        "LAB_TEMPO_URL": TEMPO,
        "LAB_DASHBOARDS": str(DASHBOARDS),
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(DASHBOARDS / "overview.json"),
        "GF_SECURITY_DATA_SOURCE_PROXY_WHITELIST": " ".join(urlsplit(url).netloc for url in (prometheus_url, TEMPO)),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_PATHS_PROVISIONING": str(PROJECT / "grafana/provisioning"),
        **{f"GF_PATHS_{name.upper()}": str(folder / name) for name in ("data", "logs", "plugins")},
        "GF_LOG_MODE": "console",
    }


def _home(environment: Mapping[str, str], binary: Path) -> Path | None:
    """The folder of conf/ and public/: GRAFANA_HOME, else what holds the program's folder, else the distributions'."""
    named = environment.get("GRAFANA_HOME")
    places = [Path(named).absolute()] if named else [binary.resolve().parent.parent, PACKAGED]
    home = next((place for place in places if (place / "conf/defaults.ini").exists()), None)
    if home is None and (named or environment.get("GRAFANA_BIN")):
        raise LabError(f"{binary}: no conf/defaults.ini in {' or '.join(map(str, places))}", REMEDY, 122)
    return home
