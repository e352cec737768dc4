"""The parts of a local lab: from the environment to the commands to start, refused whole when one setting is wrong.

Nothing here touches the machine, so `lab up` reads the plan once to find wrong settings, and the supervisor again to
follow it.
"""

import difflib
import json
import re
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from waitlab.errors import LabError
from waitlab.runtime.local import certificate, edge, grafana, postgres, prometheus
from waitlab.runtime.local.state import PROJECT, Home
from waitlab.serve import scale, settings

PORTS = {
    "FLASK_PORT": 8001,
    "FASTAPI_PORT": 8002,
    "DJANGO_WSGI_PORT": 8003,
    "DJANGO_ASGI_PORT": 8004,
    "UPSTREAM_PORT": 8009,
    "UPSTREAM_TLS_PORT": 8010,
    "LOCUST_PORT": 8089,
    "LOCUST_WORKER_PORT": 5557,
    "PROMETHEUS_PORT": 9090,
    "GRAFANA_PORT": 3000,
    "POSTGRES_PORT": 5442,
    "HOST_PORT": 9110,
}


@dataclass(frozen=True)
class Service:
    """One service: its application, and which servers with which worker classes run it, the default of each first."""

    app: str
    servers: dict[str, tuple[str, ...]]


# The lab's own table of services; a test holds it equal to services/contract.py, which nothing in waitlab may import.
SERVICES = {
    "flask": Service("services.flask_app:app", {"gunicorn": ("sync", "gthread", "gevent")}),
    "fastapi": Service(
        "services.fastapi_app:app", {"uvicorn": ("asgi",), "gunicorn": ("asgi",), "hypercorn": ("asgi",)}
    ),
    "django-wsgi": Service("services.django_app:wsgi", {"gunicorn": ("sync", "gthread", "gevent")}),
    "django-asgi": Service(
        "services.django_app:asgi", {"uvicorn": ("asgi",), "gunicorn": ("asgi",), "hypercorn": ("asgi",)}
    ),
}
# In the order they are shown.
PARTS = ("postgres", "upstream", "host", *SERVICES, "edge", "locust", "prometheus", "grafana")

# What the lab itself decides for a service, so that no <SERVICE>_<KNOB> may.
DECIDED = {"APP", "SERVICE", "HOST", "ANNOUNCE", "RUN_DIR", "TARGETS_DIR", "NONCE"} | {
    row.name for row in settings.TABLE if row.name.startswith(("DATABASE_", "UPSTREAM_"))
}
SERVICE_KNOBS = tuple(row.name for row in settings.TABLE if row.name not in DECIDED)
OF_DJANGO = {"RECEIVERS", "MIDDLEWARE"}  # which no other application understands
UPSTREAM_KNOBS = ("DELAY_MS", "JITTER_MS", "ERROR_RATE", "CONCURRENCY", "RATE", "KEEP_ALIVE")
# What limits a container, <CONTAINER>_<LIMIT>; VERBS is the one in which `lab status` and its like run.
LIMITS = ("CPUS", "MEMORY", "PIDS")
CONTAINERS = (
    *("POSTGRES", "UPSTREAM", "HOST", "FLASK", "FASTAPI", "DJANGO_WSGI", "DJANGO_ASGI", "EDGE", "LOCUST"),
    *("LOCUST_WORKER", "PROMETHEUS", "TEMPO", "GRAFANA", "VERBS"),
)
CONTAINER_SETTINGS = {f"{container}_{limit}" for container in CONTAINERS for limit in LIMITS}
EDGE_SETTINGS = {"EDGE", "EDGE_BUFFERING"}
PROGRAMS = {"PROMETHEUS_BIN", "GRAFANA_BIN", "GRAFANA_HOME"}  # what the local runtime runs that is not of the project
# Names under which others have settings too: only what is nearly one of the lab's is taken for a misspelt one.
SHARED_PREFIXES = ("EDGE_", "LOCUST_", "PROMETHEUS_", "GRAFANA_", "POSTGRES_", "HOST_")
# Flask and Django read variables of their own that a developer may well have set.
FOREIGN = re.compile(
    r"FLASK_(APP|ENV|DEBUG|SKIP_DOTENV|RUN_\w+)|DJANGO_(SETTINGS_MODULE|ALLOW_ASYNC_UNSAFE|SUPERUSER_\w+)"
)
INHERITED = (*("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH"), "OTLP_ENDPOINT")


@dataclass(frozen=True)
class Part:
    """One process of the lab. `ports` maps each setting to the port it gave; `url` is where the part is reached."""

    name: str
    url: str
    command: list[str]
    environment: dict[str, str]
    ports: dict[str, int] = field(default_factory=dict)
    death_signal: signal.Signals = signal.SIGTERM


@dataclass(frozen=True)
class Plan:
    """All that one run of the lab starts, and its secrets."""

    home: Home
    nonce: str
    parts: tuple[Part, ...]
    database_url: str | None

    @property
    def ports(self) -> dict[str, int]:
        """Every setting of a port -> its port."""
        return {setting: port for part in self.parts for setting, port in part.ports.items()}


def read(environment: Mapping[str, str], only: tuple[str, ...] = ()) -> Plan:
    """The plan that `environment` asks for, of all parts or `only` some. LabError 2 names the first wrong setting."""
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        raise LabError(f"there is no part {unknown[0]!r}", f"the parts are {', '.join(PARTS)}", 2)
    refuse_misspelt(environment)
    _refuse_limits(environment)
    for setting in sorted(EDGE_SETTINGS):
        switched_on(environment, setting)
    draft = _Draft(environment, Home.of(environment), only or _usual(environment))
    makers: dict[str, Callable[[], Part]] = {
        "postgres": draft.postgres,
        "upstream": draft.upstream,
        "host": draft.host,
        **{name: partial(draft.service, name) for name in SERVICES},
        "edge": draft.edge,
        "locust": draft.locust,
        "prometheus": draft.prometheus,
        "grafana": draft.grafana,
    }
    parts = tuple(makers[name]() for name in PARTS if name in draft.wanted)
    return Plan(draft.home, draft.nonce, parts, draft.database_url)


def _usual(environment: Mapping[str, str]) -> tuple[str, ...]:
    """All parts; Grafana where there is one, and LAB_GRAFANA does not leave it out; the edge where EDGE asks for it."""
    asked = environment.get("LAB_GRAFANA") or "1"
    if asked not in ("0", "1"):
        raise LabError(f"LAB_GRAFANA={asked[:80]!r} is not allowed", "LAB_GRAFANA takes 1, or 0 to leave it out", 2)
    left_out = set() if asked == "1" and grafana.found(environment) else {"grafana"}
    left_out |= set() if switched_on(environment, "EDGE") else {"edge"}
    return tuple(part for part in PARTS if part not in left_out)


class _Draft:
    """What the parts of one plan share while they are drawn up."""

    def __init__(self, environment: Mapping[str, str], home: Home, wanted: tuple[str, ...]) -> None:
        self.given = environment
        self.home = home
        self.wanted = wanted
        self.nonce = secrets.token_hex(8)
        self.password = secrets.token_hex(16)
        self.database_url = postgres.url(self.port("POSTGRES_PORT"), self.password) if "postgres" in wanted else None
        inherited = {name: environment[name] for name in INHERITED if name in environment}
        self.common = {**inherited, "PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}

    def port(self, setting: str) -> int:
        return port(self.given, setting, PORTS[setting])

    def address(self, setting: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port(setting)}"

    def postgres(self) -> Part:
        port = self.port("POSTGRES_PORT")
        return Part(
            "postgres",
            f"postgresql://{postgres.USER}@127.0.0.1:{port}/{postgres.DATABASE}",
            postgres.command(self.home.run("postgres"), port),
            {**self.common, "POSTGRES_PASSWORD": self.password},
            {"POSTGRES_PORT": port},
            postgres.STOP_SIGNAL,
        )

    def upstream(self) -> Part:
        ports = {name: self.port(name) for name in ("UPSTREAM_PORT", "UPSTREAM_TLS_PORT")}
        environment = {
            **self.common,
            **_knobs(self.given, "UPSTREAM", UPSTREAM_KNOBS),
            "HOST": "127.0.0.1",
            "PORT": str(ports["UPSTREAM_PORT"]),
            "TLS_PORT": str(ports["UPSTREAM_TLS_PORT"]),
            "CERTIFICATE": str(self.home.folder / certificate.SERVER),
        }
        return Part("upstream", self.address("UPSTREAM_PORT"), _python("services.upstream"), environment, ports)

    def host(self) -> Part:
        port = self.port("HOST_PORT")
        database = {"DATABASE_URL": self.database_url} if self.database_url else {}
        environment = {**self.common, **database, "PORT": str(port), "TARGETS_DIR": str(self.home.targets)}
        return Part("host", self.address("HOST_PORT"), _python("waitlab.host"), environment, {"HOST_PORT": port})

    def service(self, name: str) -> Part:
        setting = f"{prefix(name)}_PORT"
        environment = {
            **self.common,
            **service_knobs(name, self.given),
            **self._surroundings(),
            "APP": SERVICES[name].app,
            "SERVICE": name,
            "HOST": "127.0.0.1",
            "PORT": str(self.port(setting)),
            "RUN_DIR": str(self.home.run(name)),
            "TARGETS_DIR": str(self.home.targets),
            "NONCE": self.nonce,
        }
        check_service(name, environment, with_database=self.database_url is not None)
        return Part(name, self.address(setting), _python("waitlab.serve"), environment, {setting: self.port(setting)})

    def _surroundings(self) -> dict[str, str]:
        """What a service calls, as far as it is started."""
        found = {"DATABASE_URL": self.database_url} if self.database_url else {}
        if "upstream" in self.wanted:
            found |= {
                "UPSTREAM_URL": self.address("UPSTREAM_PORT"),
                "UPSTREAM_TLS_URL": self.address("UPSTREAM_TLS_PORT", "https"),
                "UPSTREAM_CA": str(self.home.folder / certificate.AUTHORITY),
            }
        return found

    def edge(self) -> Part:
        buffering = "on" if switched_on(self.given, "EDGE_BUFFERING") else "off"
        settings_ = {name: f"{prefix(name)}_PORT" for name in SERVICES if name in self.wanted}
        if not settings_:
            raise LabError("edge alone has nothing to pass on", f"add --only {' or --only '.join(SERVICES)}", 2)
        ports = {f"{setting}+{edge.ABOVE}": self.port(setting) + edge.ABOVE for setting in settings_.values()}
        urls = [self.address(setting) for setting in settings_.values()]
        doors = [f"{port}={url}" for port, url in zip(ports.values(), urls, strict=True)]
        command = [*_python("waitlab.runtime.local.edge"), str(self.home.run("edge")), buffering, *doors]
        return Part("edge", f"http://127.0.0.1:{min(ports.values())}", command, self.common, ports)

    def locust(self) -> Part:
        web, workers = self.port("LOCUST_PORT"), self.port("LOCUST_WORKER_PORT")
        passed = {name: value for name, value in self.given.items() if name.startswith("LOCUST_") and name not in PORTS}
        is_distributed = any(passed.get(name) for name in ("LOCUST_PROCESSES", "LOCUST_MODE_MASTER"))
        services = {name: self.address(f"{prefix(name)}_PORT") for name in SERVICES if name in self.wanted}
        if not services:
            raise LabError("locust alone has nothing to load", f"add --only {' or --only '.join(SERVICES)}", 2)
        environment = {
            **self.common,
            **passed,
            "LOCUST_MASTER_BIND_HOST": "127.0.0.1",
            "LOCUST_MASTER_BIND_PORT": str(workers),
            "LOCUST_MASTER_NODE_PORT": str(workers),
            "LAB_SERVICES": json.dumps(services),
            "LAB_TARGETS_DIR": str(self.home.targets),
            "LAB_LOCUST_SECRET": self.given.get("LAB_LOCUST_SECRET") or secrets.token_hex(16),
        }
        locust = str(Path(sys.executable).with_name("locust"))
        command = [locust, "-f", "locustfiles/lab.py", "--web-host", "127.0.0.1", "--web-port", str(web)]
        ports = {"LOCUST_PORT": web} | ({"LOCUST_WORKER_PORT": workers} if is_distributed else {})
        return Part("locust", self.address("LOCUST_PORT"), command, environment, ports)

    def prometheus(self) -> Part:
        port = self.port("PROMETHEUS_PORT")
        binary = prometheus.found(self.given) or Path("prometheus")
        command = prometheus.command(binary, self.home.run("prometheus"), port)
        return Part("prometheus", self.address("PROMETHEUS_PORT"), command, self.common, {"PROMETHEUS_PORT": port})

    def grafana(self) -> Part:
        port, command = self.port("GRAFANA_PORT"), grafana.found(self.given)
        if command is None:
            raise LabError("there is no Grafana on this machine", grafana.REMEDY, 122)
        if "prometheus" not in self.wanted:
            raise LabError("grafana alone has nothing to show", "add --only prometheus", 2)
        settings = grafana.environment(self.home.run("grafana"), port, self.address("PROMETHEUS_PORT"))
        return Part(
            "grafana", self.address("GRAFANA_PORT"), command, {**self.common, **settings}, {"GRAFANA_PORT": port}
        )


def switched_on(environment: Mapping[str, str], setting: str) -> bool:
    """Whether a setting is on; LabError 2 when it is neither that nor off."""
    text = environment.get(setting) or "off"
    if text not in ("on", "off"):
        raise LabError(f"{setting}={text[:80]!r} is not allowed", f"{setting} takes on or off", 2)
    return text == "on"


def port(environment: Mapping[str, str], setting: str, default: int) -> int:
    """The port that a setting gives; LabError 2 when it is none."""
    text = environment.get(setting) or str(default)
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise LabError(f"{setting}={text[:80]!r} is not allowed", f"{setting} takes a port from 1 to 65535", 2)
    return int(text)


def prefix(name: str) -> str:
    """What the settings of a service begin with: DJANGO_ASGI for django-asgi."""
    return name.upper().replace("-", "_")


def knobs(name: str) -> tuple[str, ...]:
    """The knobs that a service understands, without its prefix."""
    return tuple(knob for knob in SERVICE_KNOBS if knob not in OF_DJANGO or name.startswith("django"))


def service_knobs(name: str, environment: Mapping[str, str]) -> dict[str, str]:
    """What `environment` says of one service, as waitlab.serve reads it; LabError 2 for what it cannot have."""
    for knob in set(SERVICE_KNOBS) - set(knobs(name)):
        if environment.get(f"{prefix(name)}_{knob}"):
            raise LabError(f"{prefix(name)}_{knob} is not a setting of {name}", "it is about Django: unset it", 2)
    return _with_server(name, _knobs(environment, prefix(name), knobs(name)))


def _with_server(name: str, given: dict[str, str]) -> dict[str, str]:
    """The knobs with server and worker class filled in; LabError 2 for a pair that cannot run this service."""
    servers = SERVICES[name].servers
    server = given.get("SERVER", next(iter(servers)))
    if server not in servers:
        raise LabError(f"{prefix(name)}_SERVER={server!r} is not allowed", f"{name} runs on {' or '.join(servers)}", 2)
    classes = servers[server]
    usual = settings.usual_class(server, given.get("THREADS", "1"))
    kind = given.get("WORKER_CLASS", usual if usual in classes else classes[0])
    if kind not in classes:
        hint = f"{name} on {server} takes {' or '.join(classes)}"
        raise LabError(f"{prefix(name)}_WORKER_CLASS={kind!r} is not allowed", hint, 2)
    return {**given, "SERVER": server, "WORKER_CLASS": kind}


def check_service(name: str, environment: Mapping[str, str], with_database: bool) -> None:
    """LabError 2 naming what is wrong with the settings of one service, in the names its user gave."""
    try:
        asked = settings.read(environment)
    except settings.SettingError as error:
        names = "|".join(row.name for row in settings.TABLE)
        message = re.sub(rf"\b({names})\b", rf"{prefix(name)}_\1", str(error))
        raise LabError(
            message, f"nothing was started; unset {prefix(name)}_... settings to get the defaults", 2
        ) from None
    limit = postgres.MAX_CONNECTIONS - postgres.RESERVED_CONNECTIONS
    excess = scale.pool_excess(asked.workers, asked.pool_size, limit) if with_database else None
    if excess:
        raise LabError(f"{name}: {excess}", f"lower {prefix(name)}_WORKERS or {prefix(name)}_POOL_SIZE", 2)


def _refuse_limits(environment: Mapping[str, str]) -> None:
    for name in sorted(CONTAINER_SETTINGS & environment.keys()):
        hint = "unset it, or use containers; FLASK_CORES and its like work on both runtimes"
        raise LabError(f"{name} limits a container, and this is the local runtime", hint, 2)


def refuse_misspelt(environment: Mapping[str, str]) -> None:
    """LabError for a variable that looks like one of the lab's settings, on any runtime, and is none."""
    of_services = {f"{prefix(name)}_{knob}" for name in SERVICES for knob in knobs(name)}
    known = of_services | {f"UPSTREAM_{knob}" for knob in UPSTREAM_KNOBS} | set(PORTS) | PROGRAMS | EDGE_SETTINGS
    known |= CONTAINER_SETTINGS
    owned = ("DJANGO_", *(f"{prefix(name)}_" for name in (*SERVICES, "upstream")))
    for name in sorted(environment):
        if name in known or FOREIGN.fullmatch(name):
            continue
        nearest = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.85)
        if name.startswith(owned) or (nearest and name.startswith(SHARED_PREFIXES)):
            part = name.partition("_")[0]
            allowed = sorted(setting for setting in known if setting.startswith(f"{part}_"))
            hint = f"did you mean {nearest[0]}?" if nearest else f"the settings are {', '.join(allowed)}"
            raise LabError(f"{name} is not a setting of the lab", hint, 2)


def _knobs(environment: Mapping[str, str], prefix: str, names: tuple[str, ...]) -> dict[str, str]:
    given = {name: environment.get(f"{prefix}_{name}", "") for name in names}
    return {name: value for name, value in given.items() if value}


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]
