"""One lab in containers, on the Docker engine that answers, for all tests of this folder: started and ended by ./lab.

Images that cannot be had (Grafana and Tempo, where no registry is) are left out; the tests of these are skipped.
"""

import json
import os
import re
import secrets
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ports import free_ports
from tests.waiting import eventually, wait_for
from waitlab.runtime.local import plan

PROJECT = Path(__file__).resolve().parent.parent.parent
COMPOSE = (PROJECT / "compose.yaml").read_text()
PORTS = (*(f"{plan.prefix(name)}_PORT" for name in plan.SERVICES), "LOCUST_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "XDG_RUNTIME_DIR")
FASTAPI_MEMORY = "320M"  # little, so that a test of its limit need not fill a gigabyte

NO_ENGINE = """no Docker engine with its Compose plugin answers: {why}
  -> start or install Docker; or, as root on Debian: eval "$(.ci/engine start)", and .ci/engine stop when done"""


@dataclass(frozen=True)
class Lab:
    """The lab of the tests: its project's name, its ports, and who drives it."""

    project: str
    environment: dict[str, str]

    def __call__(self, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """./lab with these words."""
        return self.run(str(PROJECT / "lab"), *words, timeout=timeout)

    @property
    def left_out(self) -> set[str]:
        """The parts without an image."""
        return {part for part in ("grafana", "tempo") if self.environment[f"LAB_{part.upper()}"] == "0"}

    def run(self, *command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=PROJECT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def docker(self, *words: str) -> str:
        """What `docker` prints; a failed test when it fails."""
        done = self.run("docker", *words)
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def compose(self, *words: str) -> str:
        return self.docker("compose", *words)

    def ids(self, service: str = "", *, every: bool = False) -> list[str]:
        """The containers of a service, or of the lab; with `every` also those that run no more."""
        chosen = [f"label=com.docker.compose.project={self.project}", "label=com.docker.compose.oneoff=False"]
        chosen += [f"label=com.docker.compose.service={service}"] if service else []
        filters = [word for one in chosen for word in ("--filter", one)]
        return self.docker("ps", "--quiet", *filters, *(["--all"] if every else [])).split()

    def inspect(self, container: str) -> dict[str, Any]:
        return dict(json.loads(self.docker("inspect", container))[0])

    def status(self) -> dict[str, Any]:
        """What `./lab status --json` prints."""
        done = self("status", "--json")
        try:
            return dict(json.loads(done.stdout))
        except ValueError:
            pytest.fail(f"no status: {done.stdout}{done.stderr}")

    def url(self, part: str) -> str:
        return f"http://127.0.0.1:{self.environment[f'{plan.prefix(part)}_PORT']}"

    def get(self, part: str, target: str) -> httpx.Response:
        """An answer of a published port."""
        return httpx.get(self.url(part) + target, timeout=30, trust_env=False)

    def prometheus(self, query: str) -> list[dict[str, Any]]:
        """The series that answer a query now."""
        answer = httpx.get(f"{self.url('prometheus')}/api/v1/query", params={"query": query}, trust_env=False).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def seen(self, service: str) -> set[tuple[str, str]]:
        """Every (replica, worker) of a service that Prometheus scrapes now, or still believes in."""
        found = self.prometheus(f'up{{service="{service}", worker!=""}}')
        return {(one["metric"]["replica"], one["metric"]["worker"]) for one in found}

    def expect(self, service: str, workers: int, seconds: float) -> None:
        """Prometheus sees `workers` of every replica, all of them up, and nothing that is no more."""
        expected = dict.fromkeys(self.ids(service), workers)

        def is_so() -> bool:
            all_up = all(one["value"][1] == "1" for one in self.prometheus(f'up{{service="{service}"}}'))
            return all_up and Counter(replica for replica, _ in self.seen(service)) == expected

        if not eventually(is_so, seconds):
            pytest.fail(f"after {seconds:.0f} s Prometheus sees {sorted(self.seen(service))} of {service}: {expected}")

    def up_again(self) -> None:
        """`./lab up` on a lab of which a part is dead."""
        done = self("up")
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for(lambda: self.status()["healthy"], "health")

    def leftovers(self, known: list[str]) -> dict[str, Any]:
        """What a lab that is down, and had the containers `known`, must not have. Empty is good."""
        mine = ("--quiet", "--filter", f"label=com.docker.compose.project={self.project}")
        found = {
            "containers": self.docker("ps", "--all", *mine).split(),
            "networks": self.docker("network", "ls", *mine).split(),
            "volumes": self.docker("volume", "ls", *mine).split(),
            "processes": [line for line in _processes() if any(one in line for one in (self.project, *known))],
            "ports": [port for port in PORTS if _answers(int(self.environment[port]))],
        }
        return {kind: what for kind, what in found.items() if what}


def _processes() -> Iterator[str]:
    """The command and the control groups of every process: the engine writes a container's id into both."""
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            yield (entry / "cmdline").read_text() + (entry / "cgroup").read_text()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def image(service: str) -> str:
    """The name of the image of a part that is not ours."""
    found = re.search(rf"^    image: ((?:\w+/)?{service}:.+)$", COMPOSE, re.MULTILINE)
    assert found, service
    return found[1]


def kept_environment() -> dict[str, str]:
    """What a command needs to find the engine, and no setting of a lab."""
    return {name: os.environ[name] for name in KEPT if name in os.environ}


def has(name: str) -> bool:
    """Whether an image is here or can be fetched."""
    return any(
        subprocess.run(["docker", *words, name], capture_output=True, check=False).returncode == 0
        for words in (("image", "inspect"), ("pull", "--quiet"))
    )


@pytest.fixture(scope="session")
def engine() -> None:
    """End here, with what to do, when no engine answers."""
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            pytest.exit(NO_ENGINE.format(why=error), 2)
        if done.returncode:
            pytest.exit(NO_ENGINE.format(why=done.stderr.strip().splitlines()[-1]), 2)


@pytest.fixture(scope="session")
def settings(engine: None) -> dict[str, str]:
    """The environment of the tests' lab."""
    left_out = {
        setting: os.environ.get(setting) or str(int(has(image(part))))
        for setting, part in (("LAB_GRAFANA", "grafana"), ("LAB_TEMPO", "tempo"))
    }
    return {
        **kept_environment(),
        **dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True)),
        **left_out,
        "RUNTIME": "compose",
        "COMPOSE_PROJECT_NAME": f"waitlab-test-{secrets.token_hex(3)}",
        "FASTAPI_MEMORY": FASTAPI_MEMORY,
    }


@pytest.fixture(scope="session")
def listeners_before() -> set[tuple[str, int]]:
    return listeners()


def listeners() -> set[tuple[str, int]]:
    """Every (address, port) of this machine on which something listens, loopback aside."""
    found = set()
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in (Path("/proc/net") / table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, port = local.split(":")
            raw = b"".join(bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8))
            name = socket.inet_ntop(family, raw)
            if state == "0A" and not name.startswith("127.") and name not in ("::1", "::ffff:127.0.0.1"):
                found.add((name, int(port, 16)))
    return found


@pytest.fixture(scope="session")
def lab(settings: dict[str, str], listeners_before: set[tuple[str, int]]) -> Iterator[Lab]:
    """One lab, up for all the tests; whoever breaks it mends it."""
    made = Lab(settings["COMPOSE_PROJECT_NAME"], settings)
    up = made("up", timeout=500)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        yield made
    finally:
        known = made.ids(every=True)
        down = made("down")
    assert down.returncode == 0, down.stdout + down.stderr
    assert made.leftovers(known) == {}
