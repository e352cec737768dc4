"""A small exporter for what no service can know: the host's CPU, steal and pressure, and PostgreSQL's backends.

Run as `python -m waitlab.host`: PORT, TARGETS_DIR and ANNOUNCE (where and how it is found), DATABASE_URL (optional).
"""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer

import psycopg

from waitlab.telemetry import names, targets

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
# The first eight columns of /proc/stat; the last two, guest times, are contained in user and nice.
CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
PRESSURES = ("cpu", "io", "memory")
BACKENDS = """
    SELECT state, count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY state"""
STATES = ("active", "idle", "idle in transaction", "idle in transaction (aborted)")

Sample = tuple[str, dict[str, str], float]


def cpu_samples(stat: str) -> Iterator[Sample]:
    """From the text of /proc/stat: seconds of all CPUs by mode, and how many CPUs there are."""
    lines = stat.splitlines()
    for mode, ticks in zip(CPU_MODES, lines[0].split()[1:], strict=False):
        yield names.HOST_CPU, {"mode": mode}, int(ticks) * _TICK_SECONDS
    yield names.HOST_CPUS, {}, sum(1 for line in lines if line.startswith("cpu")) - 1


def pressure_samples(folder: Path) -> Iterator[Sample]:
    """The share of the last 10 s in which some, or all, tasks waited for a resource; nothing without PSI."""
    for resource in PRESSURES:
        try:
            lines = (folder / resource).read_text().splitlines()
        except OSError:  # no such file without PSI; EOPNOTSUPP where it is built in but switched off
            continue
        for kind, average, *_ in map(str.split, lines):
            yield (
                names.HOST_PRESSURE,
                {"resource": resource, "kind": kind},
                round(float(average.partition("=")[2]) / 100, 4),
            )


class Database:
    """One connection, kept: asking must not itself add a backend at each scrape."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: psycopg.Connection | None = None

    def samples(self) -> Iterable[Sample]:
        """The backends by state and the limit; nothing while PostgreSQL does not answer."""
        try:
            if self.connection is None:
                options = "-c statement_timeout=1000"
                self.connection = psycopg.connect(self.url, autocommit=True, connect_timeout=2, options=options)
            found = {str(state): int(count) for state, count in self.connection.execute(BACKENDS)}
            limit = self.connection.execute("SHOW max_connections").fetchone()
        except psycopg.Error:
            self.connection = None
            return []
        backends = [(names.POSTGRES_BACKENDS, {"state": state}, found.get(state, 0)) for state in {*STATES, *found}]
        return [*backends, (names.POSTGRES_CONNECTIONS_MAX, {}, float(limit[0]) if limit else 0.0)]


def page(samples: Iterable[Sample]) -> bytes:
    """The samples in Prometheus' text format."""
    lines: list[str] = []
    typed: set[str] = set()
    for name, labels, value in sorted(samples, key=lambda sample: sample[0]):
        if name not in typed:
            typed.add(name)
            lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}")
        shown = ",".join(f'{label}="{text}"' for label, text in labels.items())
        lines.append(f"{name}{{{shown}}} {value!r}" if shown else f"{name} {value!r}")
    return "\n".join([*lines, ""]).encode()


class _Server(TCPServer):
    """Not http.server's own class, which looks up the name of its address and waits where names do not resolve."""

    allow_reuse_address = True
    announce: Callable[[], None] | None = None

    def service_actions(self) -> None:
        """Called twice a second, and after each scrape."""
        if self.announce:
            self.announce()


def serve(bind: str, port: int, database: Database | None) -> _Server:
    """The exporter's server."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 2  # one thread serves all: a silent caller must not keep it

        def do_GET(self) -> None:
            if self.path not in ("/metrics", "/healthz"):
                self.send_error(404)
                return
            body = b"ok\n" if self.path == "/healthz" else page(_samples(database))
            self.send_response(200)
            self.send_header("Content-Type", names.PLAIN_PAGE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: two lines a second say nothing."""

    return _Server((bind, port), Handler)


def _samples(database: Database | None) -> Iterator[Sample]:
    yield from cpu_samples(Path("/proc/stat").read_text())
    yield from pressure_samples(Path("/proc/pressure"))
    yield from database.samples() if database else ()


def main() -> None:
    """Announce the exporter and serve until told to stop."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    url = os.environ.get("DATABASE_URL")
    try:
        site = targets.Site.of(os.environ.get("ANNOUNCE") or "loopback")
    except ValueError as error:
        sys.exit(f"waitlab.host: ANNOUNCE takes {error}")
    server = serve(site.bind, int(os.environ["PORT"]), Database(url) if url else None)
    target = targets.TargetFile(site.file(Path(os.environ["TARGETS_DIR"]), "host"))
    group = site.group(server.server_address[1], service="host", worker="")
    server.announce = lambda: target.update([group])
    try:
        server.serve_forever()
    finally:
        target.remove()


if __name__ == "__main__":
    main()
