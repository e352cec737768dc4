"""A stranger's service for life: its own server, run by its own interpreter and measured from outside.

Nothing is installed, and nothing of the user's is shadowed. Of the lab the server can import `waitlab.telemetry` alone,
from the last place of PYTHONPATH; the prometheus_client that this needs stays out of its sight (see
`telemetry.isolated`).
"""

import contextlib
import functools
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

import prometheus_client

from waitlab import process, telemetry
from waitlab.errors import LabError
from waitlab.serve import interpreter, listening, settings
from waitlab.serve.run_dir import RunDir, RunDirTakenError
from waitlab.serve.service import Service
from waitlab.telemetry import cgroup, outside

SERVERS = ("gunicorn", *settings.ASGI_SERVERS)
PORT_TAKEN = 106
_APP = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*(\([^()]*\))?")
_WSGI = ("sync", "gthread", "gevent")
_LINKS, _PROMETHEUS = "path", "prometheus"  # in the run folder: what the server's processes import of ours

_log = logging.getLogger("waitlab.serve")


@dataclass(frozen=True)
class Asked:
    """One service of a user's. `worker_class` "" and `threads` 0: the server's own choice, or its configuration's.

    `traces` is off, sampled or all; `options` go to the server as they are.
    """

    app: str
    service: str
    server: str
    python: Path
    workers: int = 1
    worker_class: str = ""
    threads: int = 0
    host: str = "127.0.0.1"
    port: int = 8000
    options: tuple[str, ...] = ()
    traces: str = "sampled"
    otlp_endpoint: str | None = None
    run_dir: Path | None = None
    targets_dir: Path | None = None
    announce: str = "loopback"

    def knobs(self) -> dict[str, object]:
        """What may be shown: further options may hold secrets, paths are the machine's own business."""
        shown = ("service", "app", "server", "worker_class", "workers", "threads", "host", "port", "traces")
        return {name: getattr(self, name) or "" for name in shown}

    def cpus(self) -> float:
        """How many CPUs it may use."""
        return cgroup.usable_cpus()

    def command(self) -> list[str]:
        """The server's command line, as its user would type it, but for the application's name."""
        where = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        bound = ["--host", self.host, "--port", str(self.port)] if self.server == "uvicorn" else ["--bind", where]
        kind = ["--worker-class", self.worker_class] if self.worker_class else []
        threads = ["--threads", str(self.threads)] if self.threads else []
        own = [*bound, "--workers", str(self.workers), *kind, *threads, *self.options]
        return [str(self.python), "-m", self.server, "waitlab.telemetry.outside:app", *own]


def checked(asked: Asked) -> Asked:
    """With the application's whole name; LabError for what cannot be served so, before anything is started."""
    known = {"gunicorn": "application", "hypercorn": "app"}
    if asked.server not in SERVERS:
        raise LabError(f"--server {asked.server} is not known", f"it is one of {', '.join(SERVERS)}", 2)
    if asked.traces not in ("off", "sampled", "all"):
        raise LabError(f"--traces {asked.traces} is not known", "it is off, sampled or all", 2)
    app = asked.app if ":" in asked.app else f"{asked.app}:{known.get(asked.server, 'app')}"
    if "--factory" in asked.options:  # uvicorn would call what is an application already
        app += "" if app.endswith(")") else "()"
    if not _APP.fullmatch(app):
        raise LabError(f"{app!r} names no application", "module:attribute, or module:create() for one to be called", 2)
    name = asked.service or app.partition(":")[0].rpartition(".")[2]
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,39}", name):
        raise LabError(f"{name!r} is no name for a service", "--name: letters, digits, dots, dashes, underscores", 2)
    if asked.threads and asked.server != "gunicorn":
        raise LabError(f"{asked.server} has no --threads", "they are gunicorn's", 2)
    if asked.worker_class and asked.server == "uvicorn":
        raise LabError("uvicorn has no --worker-class", "leave it out; its further options go behind --", 2)
    options = tuple(option for option in asked.options if option != "--factory")
    return replace(asked, app=app, service=name, options=options)


def run(asked: Asked, environment: Mapping[str, str]) -> int:
    """Serve until told to stop, or the server's own end; the exit code. LabError where it cannot be begun."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # until the service minds them: a clean way out
        signal.signal(number, lambda number, frame: sys.exit(0))
    asked = checked(asked)
    _require_port(asked)
    try:
        run_dir = RunDir(asked.run_dir)
    except RunDirTakenError:
        raise LabError(f"a service {asked.service!r} is served already", "stop it, or give a --name", 106) from None
    with contextlib.ExitStack() as until_served:
        until_served.callback(run_dir.close)
        laid = _lay(run_dir.path)
        until_served.callback(shutil.rmtree, laid, ignore_errors=True)
        inherited = _environment(environment, laid)
        known = interpreter.examine(asked.python, asked.server, laid / _PROMETHEUS, inherited, asked.otlp_endpoint)
        traces = "off" if known.no_traces else asked.traces
        why = f" (that Python has no {known.no_traces})" if known.no_traces and asked.traces != "off" else ""
        print(
            f"{asked.service}: {asked.server} by {known.python}, Python {known.version}; traces: {traces}{why}",
            flush=True,
        )
        service = OutsideService(replace(asked, run_dir=run_dir.path, traces=traces), run_dir, laid)
        until_served.pop_all()  # from here on the service closes them
        return service.run(inherited)


class OutsideService(Service):
    """The parent of a server that is not the lab's: it binds its own socket and minds its own workers."""

    stop_seconds = 10.0

    def __init__(self, asked: Asked, run_dir: RunDir, laid: Path) -> None:
        super().__init__(asked, run_dir, listening.Port(asked.host, asked.port))
        self._asked = asked
        self._laid = laid
        self._spoilt = False

    def _start(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        asked = self._asked
        told = outside.Told(
            app=asked.app,
            service=asked.service,
            run_dir=str(self._run_dir.path),
            prometheus=str(self._laid / _PROMETHEUS),
            serves="WSGI" if asked.server == "gunicorn" and asked.worker_class in _WSGI else "",
            parent=os.getpid(),
            traces=asked.traces,
            otlp_endpoint=asked.otlp_endpoint,
            announce=asked.announce,
        )
        # A container ends with its first process, and its image may be too small for the program that sets this.
        death = signal.SIGTERM if shutil.which("setpriv") else None
        given = {**environment, outside.VARIABLE: json.dumps(asdict(told))}
        return process.start(asked.command(), environment=given, log=None, death_signal=death)

    @contextlib.contextmanager
    def _wakeups(self) -> Iterator[int]:
        with super()._wakeups() as woken:
            signal.signal(signal.SIGHUP, self._stop_asked)
            signal.signal(signal.SIGTTIN, functools.partial(self._change, 1))
            signal.signal(signal.SIGTTOU, functools.partial(self._change, -1))
            yield woken

    def _change(self, by: int, number: int, frame: FrameType | None) -> None:
        """One worker more or less, as the server's own signals say it: the way of whoever writes the file."""
        asked = max(1, self._wanted() + by)
        with contextlib.suppress(OSError):
            (self._run_dir.path / "workers").write_text(f"{asked}\n", encoding="ascii")

    def _wanted(self) -> int:
        """A lone uvicorn and hypercorn know no such signal: it would stop them for ever."""
        if self._asked.server == "gunicorn" or (self._asked.server == "uvicorn" and self._asked.workers > 1):
            return super()._wanted()
        text = self._run_dir.workers_asked()
        if text is not None and text != self._refused:
            self._refused = text
            _log.error("workers: %s cannot change their number while it runs: start it anew", self._asked.server)
        return self._workers

    def _look(self) -> None:
        """A run folder that is spoilt costs figures, and not the service."""
        try:
            super()._look()
        except OSError as error:
            if not self._spoilt:
                _log.error("%s is no longer measured: %s", self._asked.service, error)
            self._spoilt = True

    def _gives_up(self) -> bool:
        """What becomes of a worker that cannot start is its server's business."""
        return False

    def _end_strays(self) -> None:
        """An application may let processes go on purpose: they are ended at the end, and meanwhile only buried."""
        for pid in process.children(os.getpid()):
            if pid != self._server.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _close(self) -> None:
        shutil.rmtree(self._laid, ignore_errors=True)
        super()._close()
        with contextlib.suppress(OSError):  # there from before, where a killed parent has left it
            self._run_dir.path.rmdir()

    def _report(self, code: int | None) -> int:
        if self._announced:
            self._failure = None  # of a worker that could not start later on
        return super()._report(code)


def _lay(run_dir: Path) -> Path:
    """A folder of links: its `telemetry` holds waitlab.telemetry alone, its `prometheus` prometheus_client alone."""
    folder = run_dir / _LINKS
    shutil.rmtree(folder, ignore_errors=True)
    ours, theirs = folder / "telemetry/waitlab", folder / _PROMETHEUS
    for made in (folder, ours.parent, ours, theirs):
        made.mkdir()
    for made in (run_dir, folder, ours.parent, ours, theirs):
        made.chmod(0o755)  # a server may work as another user than its parent
    (ours / "__init__.py").touch()
    for package, place in ((telemetry, ours), (prometheus_client, theirs)):
        source = Path(package.__path__[0])
        (place / source.name).symlink_to(source)
    return folder


def _environment(environment: Mapping[str, str], laid: Path) -> dict[str, str]:
    """The user's own, and the telemetry where everything of the user's comes before it."""
    path = [environment["PYTHONPATH"]] if environment.get("PYTHONPATH") else []
    return {**environment, "PYTHONPATH": os.pathsep.join([*path, str(laid / "telemetry")])}


def _require_port(asked: Asked) -> None:
    try:
        listening.bind(asked.host, asked.port, 1).close()
    except listening.PortTakenError:
        message = f"port {asked.port} is taken on {asked.host}"
        raise LabError(message, "stop what holds it, or choose another: --port", PORT_TAKEN) from None
    except OSError as error:
        raise LabError(
            f"--host {asked.host} is not allowed: {error.strerror}", "it takes an address of this machine", 2
        ) from None
