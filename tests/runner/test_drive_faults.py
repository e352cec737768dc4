"""What can go wrong with a load: each is a failure that is counted, or an error that says so; nothing stays behind."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.runner.faulty import Faulty, faulty
from tests.waiting import wait_for
from waitlab import drive, process
from waitlab.drive import driver as driver_module
from waitlab.drive.record import Outcome, Recording
from waitlab.errors import LabError
from waitlab.experiment import Load

ROOT = Path(__file__).resolve().parents[2]
USERS = Load(users=2, think_ms=50)


@pytest.fixture
def bad() -> Iterator[Faulty]:
    with faulty() as server:
        yield server


@pytest.mark.parametrize(
    ("manner", "outcome", "status"),
    [
        ("answers", Outcome.GOOD, 200),
        ("fails", Outcome.BAD_STATUS, 503),
        ("redirects", Outcome.BAD_STATUS, 302),
        ("cuts", Outcome.RESET, 0),
        ("closes", Outcome.RESET, 0),
        ("resets", Outcome.RESET, 0),
        ("babbles", Outcome.RESET, 0),
        ("hangs", Outcome.TIMED_OUT, 0),
    ],
)
def test_every_end_of_a_request_has_its_name_and_is_asked_once(
    bad: Faulty, tmp_path: Path, manner: str, outcome: Outcome, status: int
) -> None:
    with drive.driving(bad.url, f"/{manner}", USERS, tmp_path, os.environ, patience_s=0.8) as driver:
        wait_for(lambda: len(driver.answers) >= 2, "two requests")
        driver.stop()
    assert driver.sent == bad.asked
    assert {(answer.outcome, answer.status) for answer in driver.answers} == {(outcome, status)}
    assert {answer.failed for answer in driver.answers} == {outcome != Outcome.GOOD}
    assert {answer.unanswered for answer in driver.answers} == {status == 0}
    seen = drive.client(driver, 0.0, time.monotonic())
    assert seen.unanswered == (driver.sent if status == 0 else 0)
    assert seen.failures == (0 if outcome == Outcome.GOOD else driver.sent)
    assert len(driver.samples) == (0 if status == 0 else -(-driver.sent // 50))


def test_a_refused_connection_is_no_reason_to_spin(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with drive.driving(nobody, "/", Load(users=4), tmp_path, os.environ) as driver:
        wait_for(lambda: driver.answers, "a refusal")
        time.sleep(1)
        driver.stop()
    assert {answer.outcome for answer in driver.answers} == {Outcome.REFUSED}
    assert driver.sent <= 4 * 25
    assert sum(answer.rest < 0.0999 for answer in driver.answers) == 4 + 1  # each user's first, and one asked alone


def test_a_generator_that_dies_is_seen(bad: Faulty, tmp_path: Path) -> None:
    with drive.driving(bad.url, "/answers", USERS, tmp_path, os.environ) as driver:
        wait_for(lambda: len(driver.answers) >= 2, "two answers")
        [pid] = driver.recording.files()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not driver.alive, "its death")
        with pytest.raises(LabError, match="the load generator died"):
            driver.stop()
        assert len(driver.answers) >= 2


def test_one_of_two_processes_that_dies_is_seen(bad: Faulty, tmp_path: Path) -> None:
    with drive.driving(bad.url, "/answers", Load(users=4, think_ms=50), tmp_path, os.environ, processes=2) as driver:
        wait_for(lambda: len(driver.answers) >= 2, "two answers")
        pids = [*driver.recording.files(), *driver.cpu_s()]
        os.kill(pids[0], signal.SIGKILL)
        wait_for(lambda: not driver.alive, "its death")
    assert not [pid for pid in pids if process.is_alive(pid)]


def test_a_generator_that_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no such luck')\n")
    monkeypatch.setattr(driver_module, "LOCUSTFILE", broken)
    with (
        pytest.raises(LabError, match=r"(?s)the load generator ended at its start: .*no such luck") as error,
        drive.driving("http://127.0.0.1:1", "/", USERS, tmp_path, os.environ),
    ):
        pass
    assert error.value.code == 122


def test_a_generator_that_never_starts_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "hanging.py"
    hanging.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(driver_module, "LOCUSTFILE", hanging)
    monkeypatch.setattr(driver_module, "START_SECONDS", 1.0)
    with (
        pytest.raises(LabError, match="the load generator does not start within 1 s"),
        drive.driving("http://127.0.0.1:1", "/", USERS, tmp_path, os.environ),
    ):
        pass


def test_a_disk_that_is_full_ends_the_load(bad: Faulty, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with drive.driving(bad.url, "/answers", Load(users=4), tmp_path, os.environ) as driver:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            wait_for(lambda: not driver.alive, "its end")
            with pytest.raises(LabError, match="the answers cannot be written down"):
                driver.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < len(driver.answers) <= 4096 // 32


def test_a_used_folder_is_refused(bad: Faulty, tmp_path: Path) -> None:
    (tmp_path / "answers-1").touch()
    with (
        pytest.raises(LabError, match="holds a recording"),
        drive.driving(bad.url, "/answers", USERS, tmp_path, os.environ),
    ):
        pass


RUNNER = """
import os, sys, time
from pathlib import Path
from waitlab import drive
from waitlab.experiment import Load

with drive.driving(sys.argv[1], "/answers", Load(users=2, think_ms=50), Path(sys.argv[2]), os.environ) as driver:
    while True:
        time.sleep(0.1)
        if len(driver.answers) >= 4:
            print(*driver.cpu_s(), flush=True)
            time.sleep(60)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_the_load_ends_with_whoever_drives_it(bad: Faulty, tmp_path: Path, sent: signal.Signals) -> None:
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, bad.url, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with runner:
        assert runner.stdout
        pids = [int(pid) for pid in runner.stdout.readline().split()]
        assert pids
        assert all(map(process.is_alive, pids))
        runner.send_signal(sent)
        runner.wait(5)
        wait_for(lambda: not any(map(process.is_alive, pids)), "the load's end", 5)
    assert len(Recording(tmp_path).read().answers) >= 4


def test_singles_that_get_no_answer_have_no_status(bad: Faulty) -> None:
    for manner in ("resets", "closes", "cuts", "babbles", "hangs"):
        found = drive.singles(bad.url, f"/{manner}", 2, patience_s=0.5)
        assert [one.status for one in found] == [0, 0], manner
    assert [one.status for one in drive.singles(bad.url, "/fails", 1)] == [503]
    with pytest.raises(LabError, match="takes no request"):
        drive.singles(f"http://127.0.0.1:{free_port()}", "/", 2)


def test_a_generator_that_is_told_nothing_ends_with_its_trial(tmp_path: Path) -> None:
    with drive.standby(tmp_path, os.environ) as ready:
        time.sleep(0.1)
        assert ready.locust.poll() is None
    assert ready.locust.poll() is not None
    assert not list(tmp_path.glob("answers-*"))
