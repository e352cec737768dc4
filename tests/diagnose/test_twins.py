"""Real services whose limit is known, watched under a real load: by their own figures, and from outside alone."""

import http.client
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from waitlab.diagnose import sources, watch
from waitlab.diagnose.decision import Verdict, decide
from waitlab.diagnose.limits import Limit
from waitlab.diagnose.sources import Source
from waitlab.errors import LabError
from waitlab.runtime.local import service

SECONDS, SETTLE_SECONDS = 2.5, 0.6
FASTAPI = {"SERVICE": "fastapi", "APP": "services.fastapi_app:app", "SERVER": "uvicorn", "WORKERS": "1", "TOKENS": "4"}
FLASK = {"SERVICE": "flask", "APP": "services.flask_app:app", "WORKER_CLASS": "sync", "WORKERS": "2"}


@dataclass(frozen=True)
class Served:
    url: str
    inside: Source
    outside: Source


@contextmanager
def served(folder: Path, settings: dict[str, str]) -> Iterator[Served]:
    environment = {**os.environ, **settings, "TRACES": "off"}
    with service.running(environment, folder / "run", folder / "log") as url:
        inside = sources.of_run_dir(folder / "run", folder / "run/targets" / f"{settings['SERVICE']}.json")
        yield Served(url, inside, sources.of_port("stranger", url))


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("fastapi"), FASTAPI) as found:
        yield found


@pytest.fixture(scope="module")
def flask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("flask"), FLASK) as found:
        yield found


@contextmanager
def asked(url: str, path: str, users: int) -> Iterator[None]:
    """So many users, each of whom asks again when it is answered."""
    where, over = urlsplit(url), threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=5)
        while not over.is_set():
            with suppress(OSError, http.client.HTTPException):
                connection.request("GET", path)
                connection.getresponse().read()
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(users)]
    for thread in threads:
        thread.start()
    time.sleep(SETTLE_SECONDS)
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def judged(one: Served) -> tuple[Verdict, Verdict]:
    """By its own figures, and from outside, of the same time."""
    with ThreadPoolExecutor(2) as pool:
        inside, outside = pool.map(lambda source: watch.watch(source, SECONDS), (one.inside, one.outside))
    assert inside.telemetry
    assert not outside.telemetry
    return decide(inside), decide(outside)


def test_a_blocked_loop(fastapi: Served) -> None:
    with asked(fastapi.url, "/blocked/sleep?ms=200", users=6):
        inside, outside = judged(fastapi)
    assert (inside.limit, outside.limit) == (Limit.LOOP, Limit.LOOP)


def test_an_exhausted_thread_pool_shows_inside_only(fastapi: Served) -> None:
    with asked(fastapi.url, "/sync/sleep?ms=200", users=12):
        inside, outside = judged(fastapi)
    assert (inside.limit, outside.limit) == (Limit.THREAD_POOL, Limit.UNKNOWN)


def test_a_loop_with_room(fastapi: Served) -> None:
    with asked(fastapi.url, "/async/sleep?ms=300", users=4):
        inside, outside = judged(fastapi)
    assert (inside.limit, outside.limit) == (Limit.NONE, Limit.UNKNOWN)


def test_exhausted_workers(flask: Served) -> None:
    with asked(flask.url, "/sync/sleep?ms=200", users=8):
        inside, outside = judged(flask)
    assert (inside.limit, outside.limit) == (Limit.WORKERS, Limit.WORKERS)


def test_a_service_that_nobody_asks(flask: Served) -> None:
    inside, outside = judged(flask)
    assert (inside.limit, outside.limit) == (Limit.UNKNOWN, Limit.UNKNOWN)
    assert "no request came" in inside.doubts[0]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no service runs in"):
        sources.of_run_dir(tmp_path, tmp_path / "targets.json")
    with pytest.raises(LabError, match="nothing that this user may look at listens"):
        sources.of_port("shop", "http://127.0.0.1:1")
    with pytest.raises(LabError, match="is not on this machine"):
        sources.of_port("shop", "http://192.0.2.1:80")
