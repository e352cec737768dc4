"""Seeded wrong servers: each must be found out before any load (V6 of the security notes)."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.verdicts import made
from waitlab.errors import LabError
from waitlab.experiment import Arm
from waitlab.runner import service, trial
from waitlab.runner.order import Planned
from waitlab.runner.service import Serving
from waitlab.runner.trial import Draft
from waitlab.runtime.local import service as local

OURS = {
    "APP": "tests.runner.wrong_apps:app",
    "SERVICE": "flask",
    "WORKER_CLASS": "sync",
    "WORKERS": "1",
    "NONCE": "n1",
    "TRACES": "off",
    "CORES": "1",
}
SLEEP = "/sync/sleep?ms=20"


@contextmanager
def serving(folder: Path, wrong: str = "", started: dict[str, str] | None = None, **expected: Any) -> Iterator[Serving]:
    """A service that was `started` with some settings, and of which other ones are `expected`."""
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    folder.mkdir(exist_ok=True)
    given = OURS | (started or {})
    with local.running({**inherited, **given, "WRONG": wrong}, folder / "run", folder / "log") as url:
        pid = json.loads((folder / "run/serve.json").read_text())["pid"]
        yield Serving(url, pid, folder / "run", folder / "log", service.facts(given) | expected)


def arm(request: str = SLEEP) -> Arm:
    return replace(made.arm(), request=request)


def check(found: Serving, request: str = SLEEP) -> Draft:
    draft = Draft(Planned(arm(request), 1, 1), 1)
    trial.checked(found, arm(request), draft)
    return draft


def test_the_right_server_passes(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        draft = check(found)
    assert draft.known["wrong_answers"] == ()
    assert draft.known["verified"] >= 10
    (said,) = draft.known["identity"]
    assert (said["nonce"], len(said["pids"]), len(said["code"])) == ("n1", 1, 16)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("wrong body", "no proof that the work was done"),
        ("cached body", r"ms=7: .*no proof"),
        ("200 on error", "no_such_parameter=1: 200 application/json, and what is not allowed is refused"),
        ("wrong content type", "200 text/html, not 200 application/json"),
        ("compressed body", "its body is gzip"),
        ("early 200", "no whole answer"),
    ],
)
def test_wrong_answers_are_found(tmp_path: Path, wrong: str, says: str) -> None:
    with serving(tmp_path, wrong) as found, pytest.raises(LabError, match=says):
        check(found)


def test_a_query_that_was_skipped_is_found(tmp_path: Path) -> None:
    with serving(tmp_path, "skipped query") as found, pytest.raises(LabError, match="no proof that the work was done"):
        check(found, "/sync/query?ms=20")


def test_a_wait_that_was_skipped_is_found(tmp_path: Path) -> None:
    hurried = {"APP": "tests.runner.wrong_apps:hurried"}
    with serving(tmp_path, started=hurried) as found, pytest.raises(LabError, match="and it waits 20 ms"):
        check(found)


def test_a_missing_metric_is_found(tmp_path: Path) -> None:
    with serving(tmp_path, "missing metric") as found, pytest.raises(LabError, match="the service counts nothing"):
        check(found)


@pytest.mark.parametrize(
    ("started", "expected", "says"),
    [
        ({"NONCE": "old"}, {"nonce": "n1"}, "nonce is old, not n1"),
        ({"WORKERS": "2"}, {"workers": 1}, "2 workers live, not 1"),
        ({"WORKER_CLASS": "gthread", "THREADS": "4"}, {"worker_class": "sync"}, "worker_class is gthread, not sync"),
        ({}, {"code": "0" * 16}, "code is .*, not 0000000000000000"),
    ],
    ids=["stale server", "wrong worker count", "wrong worker class", "wrong version"],
)
def test_another_server_than_the_one_that_was_started_is_found(
    tmp_path: Path, started: dict[str, str], expected: dict[str, Any], says: str
) -> None:
    with serving(tmp_path, started=started, **expected) as found, pytest.raises(LabError, match=says):
        check(found)


def test_another_service_of_the_same_kind_on_the_port_is_found(tmp_path: Path) -> None:
    with serving(tmp_path / "ours") as ours, serving(tmp_path / "other") as other:
        swapped = replace(ours, url=other.url)
        with pytest.raises(LabError, match="answers, and the workers are"):
            check(swapped)


class Stranger(http.server.BaseHTTPRequestHandler):
    """An application that has nothing to do with the lab."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/sync/sleep?ms=20" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_another_application_on_the_port_is_found(tmp_path: Path) -> None:
    with serving(tmp_path) as found, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        swapped = replace(found, url=f"http://127.0.0.1:{stranger.server_address[1]}")
        with pytest.raises(LabError, match="is another application: it answers 404 to /about"):
            check(swapped)
        stranger.shutdown()


def test_nobody_on_the_port_is_found(tmp_path: Path) -> None:
    with serving(tmp_path) as found, pytest.raises(LabError, match="does not say who it is"):
        check(replace(found, url="http://127.0.0.1:9"))


def test_a_service_that_ended_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        assert found.ailment == ""
    assert "the service ended" in found.ailment
    with pytest.raises(LabError, match="the service ended"):
        found.slots()
