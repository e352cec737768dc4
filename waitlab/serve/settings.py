"""The settings of one service: a table of name, default and help, read once from the environment into a typed value."""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from waitlab.telemetry import cgroup, targets

MOST_WORKERS = 64
ASGI_SERVERS = ("uvicorn", "hypercorn")  # which serve nothing else
# What neither /about nor a metric label may show: addresses can hold passwords, paths are the machine's own business.
PRIVATE = frozenset(
    {"database_url", "upstream_url", "upstream_tls_url", "upstream_ca", "otlp_endpoint", "run_dir", "targets_dir"}
)


class SettingError(ValueError):
    """A setting with a value that is not allowed: the message names setting, value and what is allowed."""


@dataclass(frozen=True)
class Setting:
    """One row of the table: its name in the environment, its default as text, its help, and how its text is read."""

    name: str
    default: str
    help: str
    parse: Callable[[str], Any]


@dataclass(frozen=True)
class Settings:
    """What one service runs with; a field is the lower-case name of its environment variable."""

    service: str
    app: str
    server: str
    worker_class: str
    workers: int
    threads: int
    tokens: int
    executor_threads: int
    receivers: bool
    middleware: str
    pool_size: int
    host: str
    port: int
    backlog: int
    loop: str
    preload: bool
    cores: frozenset[int] | None
    traces: str
    access_log: bool
    run_dir: Path | None
    targets_dir: Path | None
    announce: str
    nonce: str
    database_url: str | None
    upstream_url: str | None
    upstream_tls_url: str | None
    upstream_ca: str | None
    otlp_endpoint: str | None

    def knobs(self) -> dict[str, object]:
        """Every setting that may be shown, as JSON can hold it: for /about, serve.json and the info metric."""
        shown = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in PRIVATE}
        return {**shown, "cores": None if self.cores is None else sorted(self.cores)}

    def cpus(self) -> float:
        """How many CPUs the service may use: those it may run on, or less where a quota gives it less time."""
        return cgroup.usable_cpus(self.cores)

    def environment(self) -> dict[str, str]:
        """The environment that `read` turns into this value again: how the parent hands its settings to the server."""
        return {field.name.upper(): _text(getattr(self, field.name)) for field in fields(self)}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, frozenset):
        return ",".join(f"{core}-{core}" for core in sorted(value))
    return str(value)


def _number(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not minimum <= int(text) <= maximum:
            raise ValueError(f"a whole number from {minimum} to {maximum}")
        return int(text)

    return parse


def _choice(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text

    return parse


def _matching(pattern: str, allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(allowed)
        return text

    return parse


def _switch(text: str) -> bool:
    values = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}
    if text.lower() not in values:
        raise ValueError("on or off")
    return values[text.lower()]


def _address(text: str) -> str | None:
    if text and not re.fullmatch(r"[a-z+]+://[^\s\x00]+", text):
        raise ValueError("an address such as http://127.0.0.1:8009")
    return text or None


def _optional_text(text: str) -> str | None:
    return text or None


def _path(text: str) -> Path | None:
    return Path(text).absolute() if text else None


def _cores(text: str) -> frozenset[int] | None:
    """A plain number counts the CPUs this process may use, lowest first; with a comma or a dash it is a list."""
    if not text:
        return None
    usable = sorted(os.sched_getaffinity(0))
    allowed = f"a count from 1 to {len(usable)}, or a list such as 0-1 or 0,2 of {','.join(map(str, usable))}"
    if not re.fullmatch(r"[0-9]{1,4}(-[0-9]{1,4})?(,[0-9]{1,4}(-[0-9]{1,4})?)*,?", text):
        raise ValueError(allowed)
    if text.isdigit():
        wanted = frozenset(usable[: int(text)]) if int(text) <= len(usable) else frozenset[int]()
    else:
        ranges = [part.partition("-") for part in text.strip(",").split(",")]
        wanted = frozenset(core for first, _, last in ranges for core in range(int(first), int(last or first) + 1))
    if not wanted or not wanted <= set(usable):
        raise ValueError(allowed)
    return wanted


_APP = _matching(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", "module:attribute, such as services.flask_app:app")
_LABEL = _matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,39}", "1 to 40 letters, digits, dots, dashes and underscores")
_PRINTABLE = _matching(r"[\x21-\x7e]{1,80}", "1 to 80 printable characters without blanks")

TABLE = (
    Setting("APP", "", "the application, module:attribute (needed)", _APP),
    Setting("SERVICE", "", "its name in metrics, targets and traces; default: the last part of APP's module", _LABEL),
    Setting("SERVER", "gunicorn", "gunicorn, uvicorn or hypercorn", _choice("gunicorn", *ASGI_SERVERS)),
    Setting(
        "WORKER_CLASS",
        "",
        "sync (gunicorn's default), gthread, gevent: WSGI; asgi: ASGI (uvicorn's and hypercorn's only one)",
        _choice("sync", "gthread", "gevent", "asgi"),
    ),
    Setting("WORKERS", "2", f"worker processes, 1 to {MOST_WORKERS}", _number(1, MOST_WORKERS)),
    Setting(
        "THREADS",
        "1",
        "threads of a gthread worker; with more than one, WORKER_CLASS defaults to gthread",
        _number(1, 1000),
    ),
    Setting("TOKENS", "40", "threads that run `def` endpoints of an ASGI worker (anyio's tokens)", _number(1, 10_000)),
    Setting("EXECUTOR_THREADS", "", "threads of the loop's default executor; default: as CPython's", _number(1, 1000)),
    Setting("RECEIVERS", "on", "Django's own receivers of each request's start and end (on or off)", _switch),
    Setting(
        "MIDDLEWARE",
        "none",
        "Django's middleware: none, a synchronous one (sync), or one that is both",
        _choice("none", "sync", "both"),
    ),
    Setting("POOL_SIZE", "10", "database connections a worker may open", _number(1, 1000)),
    Setting("HOST", "127.0.0.1", "address to listen on", _PRINTABLE),
    Setting("PORT", "8000", "port to listen on; 0 takes a free one", _number(0, 65535)),
    Setting("BACKLOG", "2048", "length of the accept queue asked of the kernel", _number(1, 65535)),
    Setting(
        "LOOP", "auto", "event loop of an ASGI worker: auto, asyncio or uvloop", _choice("auto", "asyncio", "uvloop")
    ),
    Setting("PRELOAD", "off", "load APP once in gunicorn's master (on or off)", _switch),
    Setting("CORES", "", "CPUs the service may use: a count (2) or a list (0-1 or 0,2); default: all", _cores),
    Setting(
        "TRACES",
        "sampled",
        "off, sampled (requests whose traceparent says so) or all",
        _choice("off", "sampled", "all"),
    ),
    Setting("ACCESS_LOG", "off", "one JSON line a request on standard output (on or off)", _switch),
    Setting("RUN_DIR", "", "folder of serve.json, the ledger and traces; default: a temporary one", _path),
    Setting(
        "TARGETS_DIR", "", "folder of target files alone, the stale ones are removed; default: RUN_DIR/targets", _path
    ),
    Setting(
        "ANNOUNCE",
        "loopback",
        "where metrics are served and found: loopback (127.0.0.1), or hostname for other machines",
        _choice(*targets.ANNOUNCE),
    ),
    Setting("NONCE", "", "identity of this run, shown by /about; default: random", _PRINTABLE),
    Setting("DATABASE_URL", "", "PostgreSQL for `query`", _address),
    Setting("UPSTREAM_URL", "", "the slow outside world for `fetch`", _address),
    Setting("UPSTREAM_TLS_URL", "", "the same over TLS", _address),
    Setting("UPSTREAM_CA", "", "file of the certificate authority of UPSTREAM_TLS_URL", _optional_text),
    Setting("OTLP_ENDPOINT", "", "OTLP/HTTP collector for traces; default: a bounded file a worker", _address),
)


def read(environment: Mapping[str, str]) -> Settings:
    """The settings of one service. An empty variable is an unset one. Raises SettingError for the first wrong value."""
    texts = {row.name: environment.get(row.name) or row.default for row in TABLE}
    if not texts["APP"]:
        raise SettingError("APP is not set: name the application as module:attribute, such as services.flask_app:app")
    texts["SERVICE"] = texts["SERVICE"] or texts["APP"].partition(":")[0].rpartition(".")[2]
    texts["WORKER_CLASS"] = texts["WORKER_CLASS"] or usual_class(texts["SERVER"], texts["THREADS"])
    texts["EXECUTOR_THREADS"] = texts["EXECUTOR_THREADS"] or str(min(32, (os.cpu_count() or 1) + 4))
    texts["NONCE"] = texts["NONCE"] or secrets.token_hex(8)
    settings = Settings(**{row.name.lower(): _parsed(row, texts[row.name]) for row in TABLE})
    _check_together(settings)
    return settings


def usual_class(server: str, threads: str) -> str:
    """What the servers themselves make of it: gunicorn understands threads without a worker class as gthread."""
    if server in ASGI_SERVERS:
        return "asgi"
    return "sync" if threads == "1" else "gthread"


def _parsed(row: Setting, text: str) -> Any:
    try:
        return row.parse(text)
    except ValueError as error:
        raise SettingError(f"{row.name}={text[:80]!r} is not allowed: {row.name} takes {error}") from None


def _check_together(settings: Settings) -> None:
    """Refuse what the servers would silently ignore or change."""
    kind = settings.worker_class
    if settings.server in ASGI_SERVERS and kind != "asgi":
        raise SettingError(f"WORKER_CLASS={kind!r} is not allowed: SERVER={settings.server} takes asgi")
    if settings.threads > 1 and kind != "gthread":
        raise SettingError(
            f"THREADS={settings.threads} is not allowed: WORKER_CLASS={kind} takes 1, gthread takes more"
        )
    if settings.loop != "auto" and kind != "asgi":
        raise SettingError(f"LOOP={settings.loop!r} is not allowed: WORKER_CLASS={kind} has no event loop of its own")
    if settings.preload and settings.server in ASGI_SERVERS:
        raise SettingError(
            f"PRELOAD='on' is not allowed: SERVER={settings.server} starts each worker as a new interpreter"
        )
    if settings.preload and kind == "gevent":
        raise SettingError(
            "PRELOAD='on' is not allowed: WORKER_CLASS=gevent must patch the library before APP is loaded"
        )
