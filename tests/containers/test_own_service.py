"""A compose service of the user's own, on a real engine: tuned, judged and wrapped, and afterwards as it was started.

The application, and the file that wraps it, are those of docs/tune-your-service.md.
"""

import http.client
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.containers.conftest import PROJECT, Lab, image, kept_environment
from tests.docs import blocks
from tests.ports import free_port
from tests.waiting import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(400)]

PAGE = (PROJECT / "docs/tune-your-service.md").read_text()
LAB = str(PROJECT / "lab")
IMAGE = yaml.safe_load((PROJECT / "compose.yaml").read_text())["services"]["flask"]["image"]
GUNICORN = "exec gunicorn orders:app --worker-class gthread --workers $$WORKERS --threads $$THREADS --bind 0.0.0.0:8000"
FRONT = """
events {}
http {
    access_log off;
    resolver 127.0.0.11 valid=1s;
    server {
        listen 8000;
        location / { set $orders orders:8000; proxy_pass http://$orders; }
    }
}
"""
TOML = """
[service]
compose = "orders"
url = "http://127.0.0.1:{port}"
health = "/healthz"
{how}

[[requests]]
path = "/orders/tea"
"""
VARIABLES = """environment = { WORKERS = "{workers}", THREADS = "{threads}" }
[choices]
workers = [1, 2]
threads = [1, 4]"""
REPLICAS = """
[choices]
workers = [1, 2, 3]"""
JUDGED = """
title = "Four threads of orders"
question = "What do they make of eight users?"

[load]
users = 8
seconds = 2
repeats = 1

[arms.orders]
service = "lab.toml"
workers = 1
threads = 4

[[predictions]]
says = "Four at once, of 45 ms each."
quantity = "throughput_rps"
equals = 85
within = 0.25
"""


@dataclass(frozen=True)
class Shop:
    """The user's folder and project, which have nothing of the lab's but the packages of an image."""

    folder: Path
    port: int
    name: str
    files: tuple[str, ...] = ("shop.yaml",)

    def compose(self, *words: str, **variables: str) -> str:
        given = [word for file in self.files for word in ("--file", file)]
        command = ["docker", "compose", "--project-name", self.name, *given, *words]
        return self.run(command, {**kept_environment(), **variables})

    def lab(self, *words: str, codes: tuple[int, ...] = (0,), **variables: str) -> Any:
        """What ./lab prints as JSON, asked in a shell that knows nothing of how the service was started."""
        environment = {**kept_environment(), "LAB_RESULTS": str(self.folder / "results"), **variables}
        return json.loads(self.run([LAB, *words, "--json"], environment, codes))

    def run(self, command: list[str], environment: Mapping[str, str], codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode in codes, (command, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout

    def as_it_runs(self) -> list[tuple[str, str, str]]:
        """Of each of its containers: its files, and the two values."""
        ids = self.compose("ps", "-q", "orders").split()
        told = json.loads(self.run(["docker", "inspect", *ids], kept_environment()))
        found = []
        for one in told:
            values = dict(line.split("=", 1) for line in one["Config"]["Env"])
            files = one["Config"]["Labels"]["com.docker.compose.project.config_files"]
            found.append((files, values["WORKERS"], values["THREADS"]))
        return found

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=10, trust_env=False)

    def answers(self) -> bool:
        try:
            return self.get("/orders/salt").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
def shop(lab: Lab, tmp_path: Path) -> Iterator[Shop]:
    """It is there, and not up."""
    folder, port = tmp_path / "shop", free_port()
    folder.mkdir()
    folder.chmod(0o755)  # the container's user is another
    (folder / "orders.py").write_text(blocks(PAGE, "python")[0])
    orders = {
        "image": IMAGE,
        "working_dir": "/shop",
        "command": ["sh", "-c", GUNICORN],
        "environment": {"WORKERS": "${WORKERS:-2}", "THREADS": "${THREADS:-1}"},
        "volumes": [".:/shop:ro"],
    }
    made = Shop(folder, port, f"shop-{secrets.token_hex(3)}")
    made.folder.joinpath("shop.yaml").write_text(yaml.safe_dump({"services": {"orders": orders}}))
    try:
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "5")


def publish(shop: Shop, service: str, more: Mapping[str, Any]) -> None:
    """The service that has the port which is published."""
    file = shop.folder / "shop.yaml"
    made = yaml.safe_load(file.read_text())
    made["services"].setdefault(service, {}).update(more, ports=[f"127.0.0.1:{shop.port}:8000"])
    file.write_text(yaml.safe_dump(made))


def test_a_compose_service_is_tuned_by_its_variables_and_gets_its_own_back(shop: Shop) -> None:
    publish(shop, "orders", {})
    (shop.folder / "lab.toml").write_text(TOML.format(port=shop.port, how=VARIABLES))
    shop.compose("up", "--detach", WORKERS="3")
    wait_for(shop.answers, "an answer")
    before = shop.as_it_runs()
    assert before == [(str(shop.folder / "shop.yaml"), "3", "1")]
    found = shop.lab("tune", "--rate", "60")  # of 45 ms each: three at once, and a core has time for it
    assert (found["recommendation"]["workers"], found["recommendation"]["threads"]) == (1, 4)
    assert found["achieved"]["pss_mb"] > 10, "its processes are read from outside the container"
    assert shop.as_it_runs() == before
    assert shop.answers()


def test_a_compose_service_is_given_containers_and_has_as_many_as_before(shop: Shop) -> None:
    (shop.folder / "front.conf").write_text(FRONT)
    front = {"image": image("nginx"), "entrypoint": ["nginx", "-g", "daemon off;"]}
    publish(shop, "front", {**front, "volumes": ["./front.conf:/etc/nginx/nginx.conf:ro"]})
    (shop.folder / "lab.toml").write_text(TOML.format(port=shop.port, how=REPLICAS))
    shop.compose("up", "--detach", "--scale", "orders=3", WORKERS="1")
    wait_for(shop.answers, "an answer")
    before = shop.as_it_runs()
    found = shop.lab("tune", "--rate", "30")  # of 45 ms each, in containers that take one at a time
    assert found["recommendation"]["workers"] == 2
    assert shop.as_it_runs() == before
    assert len(before) == 3


def test_an_experiment_on_a_compose_service_is_measured_and_judged(shop: Shop) -> None:
    publish(shop, "orders", {})
    (shop.folder / "lab.toml").write_text(TOML.format(port=shop.port, how=VARIABLES))
    (shop.folder / "threads.toml").write_text(JUDGED)
    shop.compose("up", "--detach")
    wait_for(shop.answers, "an answer")
    before = shop.as_it_runs()
    found = shop.lab("run", "./threads.toml", codes=(120,))  # one repeat confirms nothing
    (judged,) = found["predictions"]
    assert judged["verdict"] == "inconclusive"
    (measured,) = judged["measured"]
    assert 50 < measured < 100, "with the four threads that it asks for, not the one it had"
    assert shop.as_it_runs() == before


def test_the_wrapped_service_of_the_page_is_seen_and_diagnosed(lab: Lab, shop: Shop) -> None:
    publish(shop, "orders", {})
    overlay = yaml.safe_load(blocks(PAGE, "yaml")[0])
    overlay["volumes"]["targets"]["name"] = f"{lab.project}_targets"
    overlay["networks"]["lab"]["name"] = f"{lab.project}_lab"
    command = overlay["services"]["orders"]["command"]
    assert (command[4], command[6]) == ("4", "8")
    command[4], command[6] = "1", "2"  # few places, so that they are what limits it
    (shop.folder / "compose.waitlab.yaml").write_text(yaml.safe_dump(overlay))
    wrapped = Shop(shop.folder, shop.port, shop.name, ("shop.yaml", "compose.waitlab.yaml"))
    wrapped.compose("up", "--detach")
    wait_for(wrapped.answers, "an answer")
    wait_for(lambda: {worker for _, worker in lab.seen("orders")}, "a worker in Prometheus", 30)
    (shop.folder / "lab.toml").write_text(TOML.format(port=shop.port, how=VARIABLES))
    ends = time.monotonic() + 30

    def ask() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", shop.port, timeout=10)) as connection:
            while time.monotonic() < ends:
                connection.request("GET", "/orders/tea")
                connection.getresponse().read()

    clients = [threading.Thread(target=ask) for _ in range(8)]
    for one in clients:
        one.start()
    try:
        time.sleep(6)  # until Prometheus has looked at it twice
        found = wrapped.lab("diagnose", "orders", **lab.environment)
        outside = wrapped.lab("diagnose", "lab.toml", codes=(0, 120), RUNTIME="local")
    finally:
        for one in clients:
            one.join()
    assert found["limit"] == "workers or threads exhausted", found
    assert [one["threads"]["size"] for one in found["figures"]["workers"]] == [2]
    assert outside["limit"] in ("workers or threads exhausted", "cannot tell"), outside
    assert len(outside["figures"]["workers"]) == 1, "its process is found by its container"
    page = shop.folder / "panels.html"
    assert lab("panels", "--since", "2m", "-o", str(page)).returncode == 0
    assert "orders" in page.read_text()
    wrapped.compose("stop", "orders")
    wait_for(lambda: not lab.seen("orders"), "its leaving Prometheus", 60)
