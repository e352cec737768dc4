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

from tests.runner import wrong_apps
from tests.verdicts import made
from waitlab.errors import LabError
from waitlab.experiment import Arm
from waitlab.runner import service, trial
from waitlab.runner.cores import Share
from waitlab.runner.inside import Inside
from waitlab.runner.order import Planned
from waitlab.runner.service import Serving
from waitlab.runner.stage import Draft
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


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("right")) as found:
        yield found


@pytest.fixture(scope="module")
def wrong_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One that goes wrong in whatever way a file of its own says."""
    with serving(tmp_path_factory.mktemp("wrong"), wrong_apps.AS_THE_FILE_SAYS) as found:
        yield found


def goes_wrong(found: Serving, how: str) -> Serving:
    (found.run_dir / wrong_apps.FILE).write_text(how)
    return found


@contextmanager
def serving(folder: Path, wrong: str = "") -> Iterator[Serving]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    folder.mkdir(exist_ok=True)
    with local.running({**inherited, **OURS, "WRONG": wrong}, folder / "run", folder / "log") as url:
        pid = json.loads((folder / "run/serve.json").read_text())["pid"]
        yield Serving(url, pid, folder / "run", folder / "log", service.facts(OURS), url)


def arm(request: str = SLEEP) -> Arm:
    return replace(made.arm(), request=request)


def check(found: Serving, request: str = SLEEP) -> Draft:
    draft = Draft(Planned(arm(request), 1, 1), 1)
    cores = frozenset(os.sched_getaffinity(0))
    trial.checked(Inside(arm(request), Share(cores, cores, cores), found, {}), draft)
    return draft


def test_the_right_server_passes(right: Serving) -> None:
    draft = check(right)
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
        ("skipped wait", "and it waits 20 ms"),
    ],
)
def test_wrong_answers_are_found(wrong_server: Serving, wrong: str, says: str) -> None:
    with pytest.raises(LabError, match=says):
        check(goes_wrong(wrong_server, wrong))


def test_a_query_that_was_skipped_is_found(wrong_server: Serving) -> None:
    with pytest.raises(LabError, match="no proof that the work was done"):
        check(goes_wrong(wrong_server, "skipped query"), "/sync/query?ms=20")


def test_a_missing_metric_is_found(tmp_path: Path) -> None:
    with serving(tmp_path, "missing metric") as found, pytest.raises(LabError, match="the service counts nothing"):
        check(found)


@pytest.mark.parametrize(
    ("expected", "says"),
    [
        ({"nonce": "n2"}, "nonce is n1, not n2"),
        ({"workers": 2}, "1 workers live, not 2"),
        ({"worker_class": "gthread"}, "worker_class is sync, not gthread"),
        ({"code": "0" * 16}, "code is .*, not 0000000000000000"),
    ],
    ids=["stale server", "wrong worker count", "wrong worker class", "wrong version"],
)
def test_another_server_than_the_one_that_was_started_is_found(
    right: Serving, expected: dict[str, Any], says: str
) -> None:
    with pytest.raises(LabError, match=says):
        check(replace(right, facts={**right.facts, **expected}))


def test_another_service_of_the_same_kind_on_the_port_is_found(right: Serving, wrong_server: Serving) -> None:
    with pytest.raises(LabError, match="answers, and the workers are"):
        check(replace(right, url=goes_wrong(wrong_server, "").url))


class Stranger(http.server.BaseHTTPRequestHandler):
    """An application that has nothing to do with the lab."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/sync/sleep?ms=20" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_another_application_on_the_port_is_found(right: Serving) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        swapped = replace(right, url=f"http://127.0.0.1:{stranger.server_address[1]}")
        with pytest.raises(LabError, match="is another application: it answers 404 to /about"):
            check(swapped)
        stranger.shutdown()


def test_nobody_on_the_port_is_found(right: Serving) -> None:
    with pytest.raises(LabError, match="does not say who it is"):
        check(replace(right, url="http://127.0.0.1:9"))


def test_a_service_that_ended_says_so(tmp_path: Path) -> None:
    with serving(tmp_path) as found:
        assert found.ailment == ""
    assert "the service ended" in found.ailment
    with pytest.raises(LabError, match="the service ended"):
        found.slots()
