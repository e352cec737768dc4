"""Small experiments, really run: what is measured, what is refused, and what happens when something dies."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.leaving import no_process
from tests.runner import small
from tests.runner.small import DUET, QUERY, SINGLES, STREAM
from tests.waiting import wait_for
from waitlab import process, results, rules, validity
from waitlab.errors import LabError
from waitlab.experiment import Experiment
from waitlab.results import Run
from waitlab.runner import cores, service
from waitlab.runner.run import Step
from waitlab.runtime.local.state import PROJECT
from waitlab.telemetry import ledger
from waitlab.trial import Trial

KILLED_GONE_SECONDS = 10.0
WHOLE = (("stream", 2), ("pair", 1), ("query", 1))
OWN = """
def answers_a_user(trial):
    return trial.client.counted / trial.client.users if trial.client.users else None


def never(trial):
    raise ValueError
"""


def broken(trial: Trial, asked: Experiment) -> set[str]:
    """The rules that take away everything."""
    (arm,) = [arm for arm in asked.arms if arm.name == trial.arm]
    found = validity.findings(trial, arm.load)
    return {one.rule for one in found if one.verdict == "void" and validity.EVERYTHING in one.voids}


@dataclass(frozen=True)
class Eventful:
    """A run of two rounds: in the first the stream's service is killed, in the second the query's database."""

    asked: Experiment
    run: Run
    steps: tuple[Step, ...]
    home: Path

    def trial(self, arm: str, repeat: int) -> Trial:
        (found,) = [trial for trial in self.run.trials if (trial.arm, trial.repeat) == (arm, repeat)]
        return found


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> Eventful:
    folder = tmp_path_factory.mktemp("eventful")
    folder.joinpath("own.py").write_text(OWN)
    asked = small.ask(folder, STREAM, SINGLES, QUERY, repeats=2, head='measure = "own.py"\n' + small.HEAD)
    victims = {("stream", 1): "waitlab.serve", ("query", 2): "postgres -D"}
    steps: list[Step] = []

    def told(step: Step) -> None:
        steps.append(step)
        if step.doing == "measuring" and (step.arm, step.repeat) in victims:
            small.kill(victims[step.arm, step.repeat])

    with no_process():
        found = small.run(asked, folder, told)
    return Eventful(asked, found, tuple(steps), folder / "home")


def test_an_experiment_is_run_from_its_file_to_its_verdict(eventful: Eventful) -> None:
    whole = {name: eventful.trial(name, repeat) for name, repeat in WHOLE}
    assert {trial.ended for trial in whole.values()} == {"measured"}
    assert {name: broken(trial, eventful.asked) for name, trial in whole.items()} == {name: set() for name in whole}
    assert eventful.run.machine == {"made": "up"}
    assert eventful.run.verdict["code"] == 120  # two repeats are too few
    _is_a_whole_stream(whole["stream"])
    _is_a_whole_pair(whole["pair"])
    assert whole["stream"].measured == {"answers_a_user": whole["stream"].client.counted / 4}  # type: ignore[union-attr]
    assert whole["pair"].measured == {}
    doing = [step.doing for step in eventful.steps if (step.arm, step.repeat) == ("stream", 2)]
    assert doing == ["starting", "verifying", "warming up", "measuring", "draining", "ending", "measured"]
    assert {step.of for step in eventful.steps} == {6}
    assert not (eventful.home / "trials").exists()


def test_a_service_that_dies_in_the_middle_costs_its_trial_and_no_other(eventful: Eventful) -> None:
    died = eventful.trial("stream", 1)
    assert "the service ended" in died.ended
    assert died.identity
    assert eventful.trial("stream", 2).ended == "measured"


def test_a_database_that_dies_is_named(eventful: Eventful) -> None:
    assert eventful.trial("query", 2).ended == "PostgreSQL accepts no connection"
    assert eventful.trial("pair", 2).ended == "measured"


def _is_a_whole_stream(trial: Trial) -> None:
    client, server, machine = trial.client, trial.server, trial.machine
    assert client
    assert server
    assert machine
    assert client.seconds == pytest.approx(2.0, abs=0.5)
    rate, waited_s = client.counted / client.seconds, rules.mean_s(client.response_us)
    assert rate < 101
    assert rate * waited_s == pytest.approx(4, rel=0.1)  # Little's law: as many as there are users
    assert client.sent == server.accepted == server.completed
    assert sum(worker.completed for worker in server.workers.values()) == pytest.approx(client.counted, abs=8)
    assert 0.02 <= server.duration_mean_s < waited_s
    assert server.queue_count == pytest.approx(client.counted, abs=8)
    assert len(trial.slices) == 10
    assert trial.warm_up_s >= 2.0
    assert [len(entry["pids"]) for entry in trial.identity] == [2, 2, 2]  # type: ignore[arg-type]
    assert machine.cores >= machine.service_cores >= 1
    assert set(trial.commands) == {"service", "load"}
    assert trial.verified > 0.01 * client.sent


def _is_a_whole_pair(trial: Trial) -> None:
    first, second = sorted(trial.singles, key=lambda one: one.answered)
    assert first.begun is not None
    assert second.begun is not None
    assert first.begun < 0.15 <= first.answered <= second.begun + 0.02  # the access log has whole milliseconds
    assert second.begun + 0.15 <= second.answered + 0.02
    assert trial.client
    assert (trial.client.sent, trial.client.counted) == (2, 2)


def test_a_duet_is_measured_at_once_on_one_core_and_a_fault_of_one_ends_its_partner_too(tmp_path: Path) -> None:
    asked = small.ask(tmp_path, DUET, repeats=2)
    steps: list[Step] = []
    kill = small.once("measuring", lambda: small.kill("waitlab.serve"))

    def told(step: Step) -> None:
        steps.append(step)
        kill(step)

    run = small.run(asked, tmp_path, told)
    failed, other, first, second = run.trials
    assert failed.ended == other.ended
    assert re.match(r"(left|right): the service ended", failed.ended)
    assert {(trial.arm, trial.ended, trial.beside) for trial in (first, second)} == {
        ("left", "measured", ("right",)),
        ("right", "measured", ("left",)),
    }
    assert [trial.repeat for trial in run.trials] == [1, 1, 2, 2]
    assert [broken(trial, asked) for trial in (first, second)] == [set(), set()]
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
    of_second = [step for step in steps if step.repeat == 2]
    assert [(step.done, step.of) for step in of_second] == [(2, 4)] * 7
    assert steps[-1].arm == f"{first.arm} beside {second.arm}"
    assert not (tmp_path / "home/trials").exists()


@pytest.mark.long
def test_an_interrupted_round_of_a_duet_is_run_again_whole(tmp_path: Path) -> None:
    asked = small.ask(tmp_path, DUET)
    run = small.run(asked, tmp_path, small.once("measuring", interrupt))
    assert [trial.ended for trial in run.trials] == ["interrupted", "interrupted"]
    (folder,) = (tmp_path / "results").iterdir()
    run = small.run(asked, tmp_path, resume=folder)
    assert [(trial.repeat, trial.ended) for trial in run.trials[2:]] == [(1, "measured"), (1, "measured")]
    assert {trial.arm for trial in run.trials[2:]} == {"left", "right"}


def test_a_service_that_does_not_start_is_told_and_three_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = service.configured
    failing = {"APP": "tests.runner.failing_app:app", "SERVICE": "flask"}
    monkeypatch.setattr(service, "configured", lambda *of: configured(*of) | failing)
    run = small.run(small.ask(tmp_path, STREAM, repeats=5), tmp_path)
    assert len(run.trials) == 3
    for trial in run.trials:
        assert "this application cannot be loaded" in trial.ended
        assert str(PROJECT) not in trial.ended
        assert sys.prefix not in trial.ended
    told = "".join(trial.ended for trial in run.trials)  # the last words of a log differ from one to the next
    assert ".../runner/failing_app.py" in told
    assert run.verdict["predictions"][0]["verdict"] == "inconclusive"


@pytest.mark.long
def test_each_way_to_die_costs_its_trial_and_says_so(tmp_path: Path) -> None:
    """A worker, the service while it warms up, the generator."""
    asked = small.ask(tmp_path, STREAM, repeats=3)

    def kill_a_worker() -> None:
        (run_dir,) = (tmp_path / "home/trials").glob("trial-*/run")
        os.kill(ledger.read(run_dir)[0].pid, signal.SIGKILL)

    kills = {
        (1, "measuring"): kill_a_worker,
        (2, "warming up"): lambda: small.kill("waitlab.serve"),
        (3, "measuring"): lambda: small.kill("locust"),
    }

    def told(step: Step) -> None:
        kills.get((step.repeat, step.doing), lambda: None)()

    first, second, third = small.run(asked, tmp_path, told).trials
    assert first.ended == "measured" or re.search(r"worker 1.*has died|not the service that was started", first.ended)
    assert first.ended != "measured" or "G0" in broken(first, asked)
    assert "the service ended" in second.ended
    assert "the load generator" in third.ended
    assert second.identity
    assert third.identity


def interrupt() -> None:
    raise KeyboardInterrupt


@contextmanager
def program(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run as a process of its own, in the middle of its second trial."""
    command = [sys.executable, "-m", "tests.runner.small", str(folder)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, start_new_session=True) as runs:
        assert runs.stdout
        for line in runs.stdout:
            if line == b"stream measuring\n":
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
def test_a_run_that_was_killed_and_then_interrupted_loses_no_trial_and_goes_on(tmp_path: Path) -> None:
    with program(tmp_path) as runs:
        assert len(below(tmp_path / "home")) >= 3
        runs.kill()
        wait_for(lambda: not below(tmp_path / "home"), "the end of what the run had started", KILLED_GONE_SECONDS)
    (folder,) = (tmp_path / "results").iterdir()
    assert ended(folder) == [("pair", "measured")]
    lines = (folder / results.TRIALS).read_bytes().splitlines()
    asked = small.two(tmp_path)
    run = small.run(asked, tmp_path, small.once("measuring", interrupt), resume=folder)
    assert ended(folder) == [("pair", "measured"), ("stream", "interrupted")]
    assert run.verdict["code"] == 105
    run = small.run(asked, tmp_path, resume=folder)
    assert ended(folder) == [("pair", "measured"), ("stream", "interrupted"), ("stream", "measured")]
    assert (folder / results.TRIALS).read_bytes().splitlines()[: len(lines)] == lines
    assert all(len(judged["measured"]) == 1 for judged in run.verdict["predictions"])


def ended(folder: Path) -> list[tuple[str, str]]:
    return [(trial.arm, trial.ended) for trial in results.read(folder).trials]


def test_ctrl_c_ends_a_run_soon_and_whole(tmp_path: Path) -> None:
    with program(tmp_path) as runs:
        os.killpg(runs.pid, signal.SIGINT)
        assert runs.wait(20) == 105
        assert not below(tmp_path / "home")
    (folder,) = (tmp_path / "results").iterdir()
    assert ended(folder) == [("pair", "measured"), ("stream", "interrupted")]
    assert json.loads((folder / results.VERDICT).read_text())["code"] == 105


def test_a_measure_that_cannot_be_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    tmp_path.joinpath("own.py").write_text("def mine(trial):\n    return 1\n\n\nimport nothing_like_this\n")
    asked = small.ask(tmp_path, STREAM, head='measure = "own.py"\n' + small.HEAD)
    with pytest.raises(LabError, match=r"own\.py cannot be run: ModuleNotFoundError") as refused:
        small.run(asked, tmp_path)
    assert refused.value.code == 2
    assert not (tmp_path / "results").exists()


def test_an_arm_that_needs_more_cores_is_told_and_the_others_are_run(tmp_path: Path) -> None:
    """Six of seven cannot be measured here, three in a row at least, and that ends no run."""
    many = "[arms.needy]\ncores = [1019, 1020, 1021, 1022, 1023, 1024]"
    needy = STREAM.replace("[arms.stream]", many).replace('arm = "stream"', 'arm = "needy"')
    run = small.run(small.ask(tmp_path, needy, SINGLES), tmp_path)
    usable = len(cores.usable())
    assert {trial.arm: trial.ended for trial in run.trials} == {
        "pair": "measured",
        **{
            f"needy cores={number}": f"the arm needs {number} cores, and this machine gives {usable}"
            for number in range(1019, 1025)
        },
    }
