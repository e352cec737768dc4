"""The verb `run`: its ends without its trials, its suites, and for real."""

import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.commands.verbs import C02_TRIALS, answer, environment_of, started
from tests.docs import blocks
from tests.pages import parsed
from tests.report import reported
from tests.verdicts import made
from waitlab import experiment, forecast, judgement, results, suites
from waitlab.errors import LabError
from waitlab.experiment import Experiment
from waitlab.runner import run as runner
from waitlab.runner.run import EndedError, Step
from waitlab.trial import Trial
from waitlab.verbs import gate
from waitlab.verbs.progress import Pace, left

# run: its ends, without its trials


class Runner:
    """Takes the place of the runner: writes made-up trials, or ends as it is told."""

    def __init__(self, fault: Exception | None = None, trials: int | None = None) -> None:
        self.fault, self.trials = fault, trials
        self.change: Callable[[Trial], Trial] = lambda trial: trial
        self.calls: list[tuple[str, int, Path | None, Mapping[str, Any] | None]] = []

    def run(
        self,
        asked: Experiment,
        root: Path,
        environment: Mapping[str, str],
        seed: int,
        told: Callable[[Step], None],
        *,
        resume: Path | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Path:
        self.calls.append((asked.name, seed, resume, facts))
        if self.fault and not self.trials:
            raise self.fault
        folder = resume or results.create(root, asked.name, reported.STAMP, asked.text, {"cores": 4})
        every = reported.trials(asked)
        for done, trial in enumerate(every[: self.trials]):
            if (trial.arm, trial.repeat) in results.read(folder).measured:
                continue
            told(Step(trial.arm, trial.repeat, done, len(every), "measuring"))
            results.append(folder, self.change(trial))
        if self.fault:
            code = 105 if isinstance(self.fault, KeyboardInterrupt) else 122
            raise EndedError("ended early", "--resume goes on", code, folder)
        return folder


@pytest.fixture
def stands_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    one = Runner()
    monkeypatch.setattr(runner, "run", one.run)
    return one


def asked(root: Path, what: str | None = "c02", suite: str | None = None, **more: Any) -> gate.Asked:
    return gate.Asked(what, suite, more.get("resume", False), more.get("seed", 7), root)


def last(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_run_ends_in_0_with_its_verdicts_on_the_last_line(
    stands_in: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate.run(asked(tmp_path), {}, None, as_json=True) == 0
    told = last(capsys)
    assert told["experiment"] == "c02-sync-worker-serves-one"
    assert (told["code"], len(told["predictions"])) == (0, 4)
    assert (Path(told["run"]) / "report.html").is_file()
    sweep, one = told["predictions"][0], told["predictions"][3]
    assert (one["arm"], one["law"], one["predicted"], one["verdict"]) == (
        "async",
        "concurrency_limit",
        100.0,
        "confirmed",
    )
    assert one["low"] < 100 < one["high"]
    assert len(one["measured"]) == 4
    assert (sweep["arm"], sweep["over"], sweep["predicted"], sweep["verdict"]) == ("sync", "workers", 1.0, "confirmed")
    assert 0.9 < sweep["low"] < sweep["high"] < 1.1  # the band that was asked for
    assert [(point["at"], point["predicted"], len(point["measured"])) for point in sweep["points"]] == [
        (1, 5, 4),
        (2, 10, 2),
        (4, 20, 2),
        (8, 40, 4),
    ]
    assert stands_in.calls == [("c02-sync-worker-serves-one", 7, None, None)]


def test_a_run_for_people_shows_verdicts_and_where_the_report_is(
    stands_in: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate.run(asked(tmp_path), {}, None, as_json=False) == 0
    told = capsys.readouterr()
    assert "4 confirmed" in told.out
    assert "report.html" in told.out
    lines = told.err.splitlines()
    assert len(lines) == C02_TRIALS
    assert lines[0].startswith(f"trial 1 of {C02_TRIALS}: ")
    assert lines[0].endswith(" min left")


def slower(trial: Trial) -> Trial:
    """Half as many answers, each twice as slow: consistent, and not what was predicted."""
    assert trial.client
    assert trial.server
    half = made.trial(trial.client.counted / trial.client.seconds / 2, trial.arm, trial.repeat)
    return replace(half, identity=trial.identity, service=trial.service)


def wrong(trial: Trial) -> Trial:
    return replace(trial, wrong_answers=("answer 1: empty",))


@pytest.mark.parametrize(("change", "code", "kind"), [(slower, 99, "failure"), (wrong, 120, "error")])
def test_a_wrong_or_undecided_verdict_is_no_success(
    stands_in: Runner, tmp_path: Path, change: Callable[[Trial], Trial], code: int, kind: str
) -> None:
    stands_in.change = change
    assert gate.run(asked(tmp_path), {}, tmp_path / "gate.xml", as_json=True) == code
    (suite,) = ET.parse(tmp_path / "gate.xml").getroot()
    assert suite.get("tests") == "4"
    assert int(suite.get(f"{kind}s") or 0) == len(suite.findall(f"testcase/{kind}")) > 0


def test_what_was_interrupted_is_kept_judged_and_resumed(
    stands_in: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stands_in.fault, stands_in.trials = KeyboardInterrupt(), 6
    assert gate.run(asked(tmp_path), {}, None, as_json=True) == 105
    told = last(capsys)
    assert told["code"] == 105
    assert told["reason"].startswith("interrupted")
    assert (Path(told["run"]) / "report.md").is_file()
    stands_in.fault, stands_in.trials = None, None
    assert gate.run(asked(tmp_path, resume=True), {}, None, as_json=True) == 0
    assert stands_in.calls[-1][2] == Path(told["run"])
    assert last(capsys)["run"] == told["run"]
    calls = len(stands_in.calls)
    assert gate.run(asked(tmp_path, resume=True), {}, None, as_json=True) == 0
    assert len(stands_in.calls) == calls, "there was nothing left to measure"


def test_only_a_run_of_the_same_question_is_resumed(stands_in: Runner, tmp_path: Path) -> None:
    one = experiment.read(experiment.find("c02"))
    folder = stands_in.run(one, tmp_path, {}, 1, lambda step: None)
    assert gate.newest(tmp_path, one) == folder
    assert gate.newest(tmp_path, replace(one, text=one.text + "\n")) is None
    assert gate.newest(tmp_path, replace(one, name="other")) is None
    os.utime(folder / results.TRIALS, (0, 0))
    assert gate.newest(tmp_path, one) is None


def test_an_environment_that_is_not_ready_is_told_in_every_form(
    stands_in: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stands_in.fault = LabError("somebody drives load by hand", "stop it first", 122)
    with pytest.raises(LabError, match="by hand") as told:
        gate.run(asked(tmp_path), {}, tmp_path / "gate.xml", as_json=True)
    assert told.value.code == 122
    assert "somebody drives load by hand" in last(capsys)["reason"]
    assert "somebody drives load by hand" in (tmp_path / "gate.xml").read_text()


def test_an_interruption_before_anything_was_measured_is_105(stands_in: Runner, tmp_path: Path) -> None:
    stands_in.fault = KeyboardInterrupt()
    with pytest.raises(LabError, match="nothing was measured") as told:
        gate.run(asked(tmp_path), {}, None, as_json=False)
    assert told.value.code == 105


def test_a_run_that_could_not_go_on_is_122_with_what_it_has(
    stands_in: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stands_in.fault, stands_in.trials = LabError("x"), 3
    assert gate.run(asked(tmp_path), {}, None, as_json=False) == 122
    told = capsys.readouterr().out
    assert "ended early" in told
    assert "--resume" in told


def test_a_suite_looks_at_the_machine_once_and_ends_in_one_object(
    stands_in: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = gate.run(asked(tmp_path, None, "quick"), {}, tmp_path / "gate.xml", as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["experiment"] for line in lines[:-1]] == list(suites.QUICK)
    told = lines[-1]
    assert (told["suite"], told["code"], code) == ("quick", 0, 0)
    assert {one["experiment"] for one in told["predictions"]} == set(suites.QUICK)
    assert [facts for *_, facts in stands_in.calls] == [None, *[{"cores": 4}] * (len(suites.QUICK) - 1)]
    assert len(ET.parse(tmp_path / "gate.xml").getroot()) == len(suites.QUICK)


def test_a_suite_goes_on_without_what_cannot_be_run_but_not_after_ctrl_c(
    stands_in: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_small(one: Experiment, *rest: Any, **more: Any) -> Path:
        if one.name == suites.QUICK[1]:
            raise LabError("the arm needs 9 cores", code=122)
        return stands_in.run(one, *rest, **more)

    monkeypatch.setattr(runner, "run", too_small)
    assert gate.run(asked(tmp_path, None, "quick"), {}, None, as_json=True) == 122
    told = last(capsys)
    assert len(told["run"]) == len(suites.QUICK)
    assert "3 of 4 experiments as expected; first c06-blocking-the-loop: the arm needs 9 cores" in told["reason"]
    stands_in.fault, stands_in.trials = KeyboardInterrupt(), 2
    monkeypatch.setattr(runner, "run", stands_in.run)
    assert gate.run(asked(tmp_path / "second", None, "quick"), {}, None, as_json=True) == 105
    assert len(last(capsys)["run"]) == 1


def test_a_wrong_verdict_outranks_what_could_not_be_measured() -> None:
    one = experiment.read(experiment.find("c02"))
    for codes, worst in [((0, 120, 99), 99), ((120, 0), 120), ((122, 120), 122), ((0, 0), 0), ((99, 105), 105)]:
        assert gate._code([gate.Ended(one, code, "", 0.0) for code in codes]) == worst


def test_time_left_is_forecast_at_first_and_then_by_the_runs_own_pace() -> None:
    one = experiment.read(experiment.find("c02"))
    now = [0.0]
    pace = Pace(one, 1.0, lambda: now[0])
    assert pace.left_s(0, C02_TRIALS) == pytest.approx(forecast.run_s(one, 1.0))
    for done in range(1, 4):
        now[0] += 30
        assert pace.left_s(done, C02_TRIALS)
    now[0] += 10
    assert pace.left_s(3, C02_TRIALS) == pytest.approx((C02_TRIALS - 3) * 30 - 10)
    now[0] += 1e6
    assert pace.left_s(3, C02_TRIALS) == 0
    assert (left(42.4), left(150.0)) == ("42 s left", "2 min left")


# suites


def test_every_experiment_is_in_the_suite_of_its_chapter() -> None:
    chapters = {name: [one.name for one in suites.experiments(name)] for name in suites.CHAPTERS}
    assert sum(map(len, chapters.values())) == len(suites.catalogue())
    assert [name[:3] for name in chapters["A"]] == [*(f"c{number:02}" for number in range(1, 13)), "c55", "c57"]
    assert [name[:3] for name in chapters["D"]][:5] == [f"c{number}" for number in range(30, 35)]
    assert [name[:3] for name in chapters["E"]] == [f"c{number}" for number in range(35, 42)]
    assert [name[:3] for name in chapters["F"]][:4] == [f"c{number}" for number in range(42, 46)]
    assert len(chapters["L"]) == 8
    assert [name[:3] for name in chapters["replications"]] == ["r1-", "r2-", "r3-", "r4-", "r5-"]


def test_the_quick_suite_takes_a_quarter_of_an_hour_and_any_machine() -> None:
    quick = suites.experiments("quick")
    assert sum(len(one.predictions) for one in quick) >= 12
    assert sum(forecast.run_s(one, 1.0) for one in quick) < 13.5 * 60  # what the machine spoils is measured again
    for one in quick:
        assert not one.needs
        assert not any("burn" in arm.request or "mixed" in arm.request for arm in one.arms)


def test_all_there_is_can_be_run_in_a_night() -> None:
    assert sum(forecast.run_s(one, 1.0) for one in suites.catalogue()) < 8 * 3600


def test_what_a_run_prints_is_what_its_folder_says(tmp_path: Path) -> None:
    folder = reported.write(tmp_path, "c02")
    found = judgement.of(results.read(folder))
    assert answer("report", folder)["predictions"] == judgement.as_json(found, folder, 0.0)["predictions"]


# run, for real

# Why this machine, and not the experiment, left a verdict open: others computed, or the repeats were as far apart.
OF_THE_MACHINE = re.compile(r"G[3479], |% interval .* repeats would decide|hold \d+ at most")


def in_short(text: str) -> str:
    """The same question with a window of 3 s, which is enough where nobody else computes."""
    assert "[load]\n" in text
    return text.replace("[load]\n", "[load]\nseconds = 3\n").replace("seconds = 10  ", "# ")


def page_example() -> str:
    """The experiment that docs/experiments.md shows whoever writes a first one."""
    page = (experiment.FOLDER.parent / "docs/experiments.md").read_text()
    return blocks(page, "toml")[0]


def two_sleeps() -> str:
    """C32 without what it needs two idle cores for."""
    text = experiment.find("c32").read_text()
    head, *arms = re.split(r"^(?=\[arms\.|\[\[predictions)", text, flags=re.MULTILINE)
    return head + "".join(part for part in arms if '"two sleeps' in part)


def listing() -> str:
    return experiment.find("c08").read_text()


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("question", [two_sleeps, listing, page_example], ids=lambda question: question.__name__)
def test_an_experiment_ends_in_the_verdicts_that_theory_gives(tmp_path: Path, question: Callable[[], str]) -> None:
    """For real, end to end. On a machine that others share a verdict may stay open; none may be wrong."""
    text = question()
    (tmp_path / "mine.toml").write_text(text if "concurrent" in text else in_short(text))
    words = ["run", tmp_path / "mine.toml", "--results", tmp_path / "results", "--json"]
    if question is page_example:
        interrupt(words, tmp_path)
        words.append("--resume")
    called = started(*words, LAB_HOME=str(tmp_path / "home"), seconds=300)
    told = json.loads(called.stdout.splitlines()[-1])
    assert called.returncode == told["code"], called.stderr
    assert told["code"] in (0, 120), told["reason"]
    open_ = [one for one in told["predictions"] if one["verdict"] != one["expected"]]
    assert all(one["verdict"] == "inconclusive" and OF_THE_MACHINE.search(one["reason"]) for one in open_), open_
    assert len(open_) < len(told["predictions"])
    parsed((Path(told["run"]) / "report.html").read_text())
    assert still_running(tmp_path) == []


def interrupt(words: list[str | Path], home: Path) -> None:
    """The same as a person's Ctrl-C in its second trial: what was measured is kept, and no process stays."""
    command = [sys.executable, "-m", "waitlab.cli", *map(str, words)]
    environment = environment_of({"LAB_HOME": str(home / "home")})
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stderr
        assert any(line.startswith("trial 2 of ") for line in running.stderr)
        running.send_signal(signal.SIGINT)
        told = json.loads(running.communicate(timeout=60)[0].splitlines()[-1])
    assert (running.returncode, told["code"]) == (105, 105)
    assert len(results.read(Path(told["run"])).measured) == 1
    assert still_running(home) == []


def still_running(home: Path) -> list[str]:
    every = subprocess.check_output(["ps", "-eo", "args"], text=True).splitlines()
    return [line for line in every if str(home) in line]
