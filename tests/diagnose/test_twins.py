"""Real services whose limit is known, watched under a real load by their own figures."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.diagnose.load import asked, watched
from waitlab.diagnose import sources
from waitlab.diagnose.decision import Verdict, decide
from waitlab.diagnose.limits import Limit
from waitlab.errors import LabError
from waitlab.runtime.local import service

FASTAPI = {"SERVICE": "fastapi", "APP": "services.fastapi_app:app", "SERVER": "uvicorn", "WORKERS": "1", "TOKENS": "4"}
FLASK = {"SERVICE": "flask", "APP": "services.flask_app:app", "WORKER_CLASS": "sync", "WORKERS": "2"}
Served = tuple[str, sources.Source]


@contextmanager
def served(folder: Path, settings: dict[str, str]) -> Iterator[Served]:
    environment = {**os.environ, **settings, "TRACES": "off"}
    with service.running(environment, folder / "run", folder / "log") as url:
        file = folder / "run/targets" / f"{settings['SERVICE']}.json"
        yield url, sources.of_run_dir(folder / "run", file, shows_pools=True)


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("fastapi"), FASTAPI) as found:
        yield found


@pytest.fixture(scope="module")
def flask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("flask"), FLASK) as found:
        yield found


def judged(one: Served) -> Verdict:
    seen = watched(one[1])
    assert seen.telemetry
    return decide(seen)


def test_a_blocked_loop(fastapi: Served) -> None:
    with asked(fastapi[0], "/blocked/sleep?ms=200", users=6):
        assert judged(fastapi).limit is Limit.LOOP


def test_an_exhausted_thread_pool(fastapi: Served) -> None:
    with asked(fastapi[0], "/sync/sleep?ms=200", users=12):
        assert judged(fastapi).limit is Limit.THREAD_POOL


def test_a_loop_with_room(fastapi: Served) -> None:
    with asked(fastapi[0], "/async/sleep?ms=300", users=4):
        assert judged(fastapi).limit is Limit.NONE


def test_exhausted_workers(flask: Served) -> None:
    with asked(flask[0], "/sync/sleep?ms=200", users=8):
        assert judged(flask).limit is Limit.WORKERS


def test_a_service_that_nobody_asks(flask: Served) -> None:
    verdict = judged(flask)
    assert verdict.limit is Limit.UNKNOWN
    assert "no request came" in verdict.doubts[0]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no service runs in"):
        sources.of_run_dir(tmp_path, tmp_path / "targets.json")
    with pytest.raises(LabError, match="nothing that this user may look at listens"):
        sources.of_port("shop", "http://127.0.0.1:1")
    with pytest.raises(LabError, match="is not on this machine"):
        sources.of_port("shop", "http://192.0.2.1:80")
