"""Every server: the whole contract, bad input on the wire, gevent's overlap, and who dies with a worker."""

import os
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from service_stacks import Part

from services import contract
from tests import conformance
from tests.ports import free_port
from tests.waiting import wait_for
from waitlab import process

FLASK = {"SERVICE": "flask", "APP": contract.SERVICES["flask"].app}
FASTAPI = {"SERVICE": "fastapi", "APP": contract.SERVICES["fastapi"].app}
DJANGO_WSGI = {"SERVICE": "django-wsgi", "APP": contract.SERVICES["django-wsgi"].app}
DJANGO_ASGI = {"SERVICE": "django-asgi", "APP": contract.SERVICES["django-asgi"].app}
SERVERS = {
    "flask sync": FLASK,
    "flask gthread": FLASK | {"WORKER_CLASS": "gthread", "THREADS": "4"},
    "flask gevent": FLASK | {"WORKER_CLASS": "gevent"},
    "fastapi gunicorn": FASTAPI | {"SERVER": "gunicorn", "WORKER_CLASS": "asgi"},
    "fastapi uvicorn asyncio": FASTAPI | {"SERVER": "uvicorn", "LOOP": "asyncio"},
    "fastapi uvicorn uvloop": FASTAPI | {"SERVER": "uvicorn", "LOOP": "uvloop"},
    "fastapi hypercorn asyncio": FASTAPI | {"SERVER": "hypercorn", "LOOP": "asyncio"},
    "fastapi hypercorn uvloop": FASTAPI | {"SERVER": "hypercorn", "LOOP": "uvloop"},
    "django sync": DJANGO_WSGI,
    "django gevent": DJANGO_WSGI | {"WORKER_CLASS": "gevent"},
    "django gunicorn": DJANGO_ASGI | {"SERVER": "gunicorn", "WORKER_CLASS": "asgi"},
    "django uvicorn": DJANGO_ASGI | {"SERVER": "uvicorn", "RECEIVERS": "off"},
    "django hypercorn": DJANGO_ASGI | {"SERVER": "hypercorn", "MIDDLEWARE": "sync"},
}
ON_THE_WIRE = [
    b"GET /sync/sleep?ms=" + b"9" * 10_000 + b" HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /sync/sleep?ms=\0 HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /sync/sleep?ms=%00 HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /sync/sleep?ms=%ED%A0%80 HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /sync/sleep?ms=\xd9\xa1 HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /sync/sleep?ms=nan HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /sync/%00 HTTP/1.1\r\nHost: lab\r\n\r\n",
    b"GET /sync/sleep HTTP/1.1\r\nHost: lab\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /sync/sleep HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HEAD /sync/sleep HTTP/1.1\r\nHost: lab\r\n\r\n",
]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path, upstream: Part, wired: dict[str, Any]) -> Iterator[Part]:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        **SERVERS[request.param],
        "WORKERS": "1",
        "PORT": str(port),
        "RUN_DIR": str(tmp_path / "run"),
        "DATABASE_URL": wired["database_url"],
        "UPSTREAM_URL": wired["upstream_url"],
        "UPSTREAM_TLS_URL": wired["upstream_tls_url"],
        "UPSTREAM_CA": wired["upstream_ca"],
    }
    url = f"http://127.0.0.1:{port}"
    part = Part([sys.executable, "-m", "waitlab.serve"], environment, lambda: is_ready(url), url, tmp_path / "log")
    part.start()
    yield part
    part.stop()


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def answer_to(server: Part, sent: bytes) -> bytes:
    """The whole answer on a connection of its own; empty when the server closed it."""
    with socket.create_connection(("127.0.0.1", int(server.environment["PORT"])), 4) as connection:
        connection.sendall(sent)
        try:
            return connection.recv(65_536)
        except ConnectionResetError:
            return b""


def worker(server: Part) -> int:
    return int(httpx.get(f"{server.url}/about", trust_env=False).json()["pid"])


def test_a_worker(server: Part) -> None:
    """One start of each server for all there is to ask of it: starting one takes longer than asking."""
    pid = worker(server)
    for sent in ON_THE_WIRE:
        answer = answer_to(server, sent)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), (sent[:60], answer)
        assert b"application/problem+json" in answer or b"400" in answer[:16] or answer == b""
    assert worker(server) == pid

    with httpx.Client(base_url=server.url, trust_env=False, timeout=30) as client:
        service = server.environment["SERVICE"]
        with ThreadPoolExecutor(4) as threads:
            every = [triple for triple in conformance.EVERY if triple[0] == service]
            if is_gevent := server.environment.get("WORKER_CLASS") == "gevent":
                every = [triple for triple in every if triple[1] != "async"]
            list(threads.map(lambda triple: conformance.check(client.get, *triple), every))
        if is_gevent:
            check_overlap(client)
            answer = client.get("/async/ping")
            assert (answer.status_code, answer.json()["detail"]) == (404, contract.NOT_UNDER_GEVENT)
        if service == "fastapi":
            check_that_what_burns_dies_with(pid, client)


def check_overlap(client: httpx.Client) -> None:
    """Under gevent the blocking verbs give way: eight waits of half a second take far less than four."""
    for workload in ("sleep", "query", "fetch"):
        with ThreadPoolExecutor(8) as threads:
            began = time.monotonic()
            targets = [f"/sync/{workload}?ms=500"] * 8
            assert {answer.status_code for answer in threads.map(client.get, targets)} == {200}
            assert time.monotonic() - began < 2


def check_that_what_burns_dies_with(pid: int, client: httpx.Client) -> None:
    """The processes of `to=processes`, and the consumers of `to=queue`; the delay that these caused is counted."""
    assert "lab_task_queue_seconds_count" in client.get("/metrics").text
    burning = process.children(pid)
    assert len(burning) >= 2
    assert "/dev/shm/" not in Path(f"/proc/{pid}/maps").read_text()  # a name there would outlive a kill
    os.kill(pid, 9)
    wait_for(lambda: not any(process.is_alive(child) for child in burning), "the end of what burns")
