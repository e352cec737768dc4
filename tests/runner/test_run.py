"""Small experiments, really run: what is measured, what is refused, and what happens when something dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.runner import small
from tests.runner.small import DUET, QUERY, SINGLES, STREAM
from tests.waiting import wait_for
from waitlab import process, results, validity
from waitlab.errors import LabError
from waitlab.runner import cores, service
from waitlab.runner.run import Step
from waitlab.runtime.local.state import PROJECT
from waitlab.telemetry import ledger
from waitlab.trial import Trial

KILLED_GONE_SECONDS = 10.0
OWN = """
def answers_a_user(trial):
    return trial.client.counted / trial.client.users if trial.client.users else None


def never(trial):
    raise ValueError
"""


def broken(trial: Trial, asked: small.Experiment) -> set[str]:
    """The rules that take away everything."""
    (arm,) = [arm for arm in asked.arms if arm.name == trial.arm]
    found = validity.findings(trial, arm.load)
    return {one.rule for one in found if one.verdict == "void" and validity.EVERYTHING in one.voids}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    yield
    assert not process.children(os.getpid())
    assert os.sched_getaffinity(0) == before


def test_an_experiment_is_run_from_its_file_to_its_verdict(tmp_path: Path) -> None:
    head = 'measure = "own.py"\n' + small.HEAD
    tmp_path.joinpath("own.py").write_text(OWN)
    asked = small.ask(tmp_path, STREAM, SINGLES, QUERY, head=head)
    steps: list[Step] = []
    run = small.run(asked, tmp_path, steps.append)
    trials = {trial.arm: trial for trial in run.trials}
    assert {trial.ended for trial in run.trials} == {"measured"}
    assert {name: broken(trial, asked) for name, trial in trials.items()} == {
        "stream": set(),
        "pair": set(),
        "query": set(),
    }
    assert run.machine == {"made": "up"}
    assert run.verdict["code"] == 120  # one repeat is too few
    _is_a_whole_stream(trials["stream"])
    _is_a_whole_pair(trials["pair"])
    assert trials["stream"].measured == {"answers_a_user": trials["stream"].client.counted / 4}  # type: ignore[union-attr]
    assert trials["pair"].measured == {}
    assert trials["pair"].unmeasured["answers_a_user"] == "its function gives no number: ValueError('it is None')"
    doing = [step.doing for step in steps if step.arm == "stream"]
    assert doing == ["starting", "verifying", "warming up", "measuring", "draining", "ending", "measured"]
    assert {step.of for step in steps} == {3}
    assert not (tmp_path / "home/trials").exists()


def _is_a_whole_stream(trial: Trial) -> None:
    client, server, machine = trial.client, trial.server, trial.machine
    assert client
    assert server
    assert machine
    assert client.seconds == pytest.approx(2.0, abs=0.1)
    assert 70 < client.counted / client.seconds < 101
    assert client.sent == server.accepted == server.completed
    assert sum(worker.completed for worker in server.workers.values()) == pytest.approx(client.counted, abs=8)
    assert server.duration_mean_s == pytest.approx(0.021, abs=0.004)
    assert server.queue_count == pytest.approx(client.counted, abs=8)
    assert len(trial.slices) == 10
    assert trial.warm_up_s >= 2.0
    assert [len(entry["pids"]) for entry in trial.identity] == [2, 2, 2]  # type: ignore[arg-type]
    assert machine.cores >= machine.service_cores >= 1
    assert set(trial.commands) == {"service", "load"}
    assert trial.verified > 0.01 * client.sent


def _is_a_whole_pair(trial: Trial) -> None:
    first, second = sorted(trial.singles, key=lambda one: one.answered)
    assert (first.answered, second.answered) == (pytest.approx(0.15, abs=0.05), pytest.approx(0.3, abs=0.1))
    assert first.begun is not None
    assert second.begun is not None
    assert first.begun < 0.05
    assert second.begun == pytest.approx(0.15, abs=0.05)
    assert trial.client
    assert (trial.client.sent, trial.client.counted) == (2, 2)


def test_a_duet_is_measured_at_once_on_one_core(tmp_path: Path) -> None:
    asked = small.ask(tmp_path, DUET)
    steps: list[Step] = []
    run = small.run(asked, tmp_path, steps.append)
    assert {(trial.arm, trial.ended, trial.beside) for trial in run.trials} == {
        ("left", "measured", ("right",)),
        ("right", "measured", ("left",)),
    }
    assert [broken(trial, asked) for trial in run.trials] == [set(), set()]
    first, second = run.trials
    assert first.server
    assert second.server
    assert first.client
    assert second.client
    assert first.service["cores"] == second.service["cores"] == [min(cores.usable())]
    assert first.service["nonce"] != second.service["nonce"]
    spent = [sum(worker.cpu_s for worker in server.workers.values()) for server in (first.server, second.server)]
    assert min(spent) > 0.1
    assert sum(spent) < 1.1 * first.client.seconds
    assert first.client.seconds == pytest.approx(second.client.seconds, abs=0.2)
    assert [(step.done, step.of) for step in steps] == [(0, 2)] * 7
    assert steps[-1].arm == f"{first.arm} beside {second.arm}"
    assert not (tmp_path / "home/trials").exists()


def test_a_fault_of_one_in_a_duet_ends_its_partner_too_and_says_whose_it_is(tmp_path: Path) -> None:
    run = small.run(
        small.ask(tmp_path, DUET, repeats=2), tmp_path, small.once("measuring", lambda: small.kill("waitlab.serve"))
    )
    first, second, *others = run.trials
    assert first.ended == second.ended
    assert re.match(r"(left|right): the service ended", first.ended)
    assert [trial.ended for trial in others] == ["measured", "measured"]
    assert {trial.repeat for trial in others} == {2}


@pytest.mark.long
def test_an_interrupted_round_of_a_duet_is_run_again_whole(tmp_path: Path) -> None:
    asked = small.ask(tmp_path, DUET, repeats=2)
    run = small.run(asked, tmp_path, small.once("measuring", interrupt, repeat=2))
    assert [trial.ended for trial in run.trials] == ["measured", "measured", "interrupted", "interrupted"]
    (folder,) = (tmp_path / "results").iterdir()
    run = small.run(asked, tmp_path, resume=folder)
    assert [(trial.repeat, trial.ended) for trial in run.trials[4:]] == [(2, "measured"), (2, "measured")]
    assert {trial.arm for trial in run.trials[4:]} == {"left", "right"}


def test_a_service_that_does_not_start_is_told_and_three_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = service.configured
    failing = {"APP": "tests.runner.failing_app:app", "SERVICE": "flask"}
    monkeypatch.setattr(service, "configured", lambda *of: configured(*of) | failing)
    run = small.run(small.ask(tmp_path, STREAM, repeats=5), tmp_path)
    assert len(run.trials) == 3
    assert all("this application cannot be loaded" in trial.ended for trial in run.trials)
    assert run.verdict["predictions"][0]["verdict"] == "inconclusive"


@pytest.mark.parametrize(
    ("victim", "step", "says"),
    [
        ("waitlab.serve", "measuring", "the service ended"),
        pytest.param("waitlab.serve", "warming up", "the service ended", marks=pytest.mark.long),
        pytest.param("locust", "measuring", "the load generator", marks=pytest.mark.long),
    ],
)
def test_what_dies_in_the_middle_costs_its_trial_and_no_other(
    tmp_path: Path, victim: str, step: str, says: str
) -> None:
    run = small.run(small.ask(tmp_path, STREAM, repeats=2), tmp_path, small.once(step, lambda: small.kill(victim)))
    first, second = run.trials
    assert says in first.ended
    assert first.identity
    assert second.ended == "measured"


def test_a_worker_that_was_replaced_voids_its_trial(tmp_path: Path) -> None:
    asked = small.ask(tmp_path, STREAM)

    def kill_a_worker() -> None:
        (run_dir,) = (tmp_path / "home/trials").glob("trial-*/run")
        os.kill(ledger.read(run_dir)[0].pid, signal.SIGKILL)

    (trial,) = small.run(asked, tmp_path, small.once("measuring", kill_a_worker)).trials
    assert trial.ended == "measured" or re.search(r"worker 1.*has died|not the service that was started", trial.ended)
    assert trial.ended != "measured" or "G0" in broken(trial, asked)


def test_a_database_that_dies_is_named(tmp_path: Path) -> None:
    run = small.run(
        small.ask(tmp_path, QUERY, repeats=5), tmp_path, small.once("measuring", lambda: small.kill("postgres -D"))
    )
    assert [trial.ended for trial in run.trials] == ["PostgreSQL accepts no connection"] * 3


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.long
def test_an_interrupted_run_keeps_what_it_has_and_goes_on(tmp_path: Path) -> None:
    asked = small.ask(tmp_path, STREAM, repeats=3)
    run = small.run(asked, tmp_path, small.once("measuring", interrupt, repeat=2))
    assert [trial.ended for trial in run.trials] == ["measured", "interrupted"]
    assert run.verdict["code"] == 105
    (folder,) = (tmp_path / "results").iterdir()
    lines = (folder / results.TRIALS).read_bytes().splitlines()
    run = small.run(asked, tmp_path, resume=folder)
    assert [(trial.repeat, trial.ended) for trial in run.trials] == [
        (1, "measured"),
        (2, "interrupted"),
        (2, "measured"),
        (3, "measured"),
    ]
    assert (folder / results.TRIALS).read_bytes().splitlines()[:3] == lines
    (judged,) = run.verdict["predictions"]
    assert len(judged["measured"]) == 3
    assert judged["verdict"] != "refuted"


@contextmanager
def program(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The same run as a process of its own, in the middle of its second trial."""
    command = [sys.executable, "-m", "tests.runner.small", str(folder)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, start_new_session=True) as runs:
        assert runs.stdout
        for line in runs.stdout:
            if line == b"2 measuring\n":
                break
        try:
            yield runs
        finally:
            runs.kill()


def below(home: Path) -> list[str]:
    """The commands of every process that was started for this lab."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(home).encode() in words and process.is_alive(int(entry.name)) and int(entry.name) != os.getpid():
            found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@pytest.mark.long
def test_a_killed_run_leaves_no_process_and_loses_no_trial(tmp_path: Path) -> None:
    with program(tmp_path) as runs:
        assert len(below(tmp_path / "home")) >= 3
        runs.kill()
        wait_for(lambda: not below(tmp_path / "home"), "the end of what the run had started", KILLED_GONE_SECONDS)
    (folder,) = (tmp_path / "results").iterdir()
    assert [trial.ended for trial in results.read(folder).trials] == ["measured"]
    run = small.run(small.ask(tmp_path, STREAM, repeats=3), tmp_path, resume=folder)
    assert [(trial.repeat, trial.ended) for trial in run.trials] == [(number, "measured") for number in (1, 2, 3)]


def test_ctrl_c_ends_a_run_soon_and_whole(tmp_path: Path) -> None:
    with program(tmp_path) as runs:
        began = time.monotonic()
        os.killpg(runs.pid, signal.SIGINT)
        assert runs.wait(20) == 105
        assert time.monotonic() - began < 6
        assert not below(tmp_path / "home")
    (folder,) = (tmp_path / "results").iterdir()
    assert json.loads((folder / results.VERDICT).read_text())["code"] == 105


def test_a_measure_that_cannot_be_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    tmp_path.joinpath("own.py").write_text("def mine(trial):\n    return 1\n\n\nimport nothing_like_this\n")
    asked = small.ask(tmp_path, STREAM, head='measure = "own.py"\n' + small.HEAD)
    with pytest.raises(LabError, match=r"own\.py cannot be run: ModuleNotFoundError") as refused:
        small.run(asked, tmp_path)
    assert refused.value.code == 2
    assert not (tmp_path / "results").exists()


def test_an_arm_that_needs_more_cores_is_told_and_the_others_are_run(tmp_path: Path) -> None:
    needy = STREAM.replace("[arms.stream]", "[arms.needy]\ncores = 1024").replace('arm = "stream"', 'arm = "needy"')
    run = small.run(small.ask(tmp_path, needy, SINGLES, repeats=3), tmp_path)
    ended = {(trial.arm, trial.ended) for trial in run.trials}
    assert ended == {
        ("needy", f"the arm needs 1024 cores, and this machine gives {len(cores.usable())}"),
        ("pair", "measured"),
    }
    assert len(run.trials) == 6
