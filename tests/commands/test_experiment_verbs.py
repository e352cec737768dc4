"""The verbs about experiments, called as a person calls them: their output, their exit codes, and what they refuse."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from tests.pages import parsed
from tests.report import reported
from tests.verdicts import made
from tests.verdicts.recorded import FOLDERS
from waitlab import cli, experiment, forecast, judgement, results, suites
from waitlab.errors import LabError
from waitlab.experiment import Experiment
from waitlab.runner import run as runner
from waitlab.runner.run import EndedError, Step
from waitlab.trial import Trial
from waitlab.verbs import gate, planned
from waitlab.verbs.progress import Pace, left

QUESTION = made.QUESTION.replace("repeats = 3", "repeats = 5")


Called = subprocess.CompletedProcess[str]


def lab(*words: str | Path, **environment: str) -> Called:
    """Call the verb here, without the half second that a process takes to start."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment_of(environment), clear=True),
        mock.patch.object(sys, "argv", ["lab", *map(str, words)]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        cli.main()
    return Called(sys.argv, int(ended.value.code or 0), out.getvalue(), err.getvalue())


def started(*words: str | Path, seconds: float = 60, **environment: str) -> Called:
    """Call the verb as a person does, in a process of its own."""
    command = [sys.executable, "-m", "waitlab.cli", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=seconds, env=environment_of(environment)
    )


def environment_of(given: Mapping[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("RUNTIME", "LAB_INSIDE", "LAB_RESULTS")}
    return {**kept, **given}


def answer(*words: str | Path) -> Any:
    called = lab(*words, "--json")
    assert called.returncode in (0, 120), called.stderr
    return json.loads(called.stdout)


def refused(code: int, *words: str | Path, **environment: str) -> str:
    called = lab(*words, **environment)
    assert called.returncode == code, called.stderr
    assert called.stderr.strip()
    return called.stderr


C02_TRIALS = sum(arm.load.repeats for arm in experiment.read(experiment.find("c02")).arms)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(made.QUESTION)
    return file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with three runs: an older and a newer one of c02, and a broken folder."""
    folder = tmp_path / "results"
    first = reported.write(folder, "c02")
    reported.write(folder, "c06")
    first.rename(first.with_name(first.name.replace("T10-", "T09-")))
    reported.write(folder, "c02")
    (folder / "2026-11-20T10-00-00-c03-workers-for-users").mkdir()
    return folder


# list and plan


def test_the_list_has_every_experiment_with_its_question() -> None:
    found = answer("list")
    assert {one["name"] for one in found} == {file.stem for file in experiment.FOLDER.glob("*.toml")}
    (c02,) = [one for one in found if one["name"] == "c02-sync-worker-serves-one"]
    assert c02["question"].endswith("?")
    assert (c02["settles"], c02["suites"], c02["predictions"], c02["trials"]) == (
        ["C02"],
        ["A", "quick"],
        4,
        C02_TRIALS,
    )
    text = lab("list").stdout
    assert "needs two cores that nobody else uses" in " ".join(text.split())
    assert "--suite quick" in text


def test_a_plan_says_trials_commands_values_and_time_and_runs_nothing(tmp_path: Path) -> None:
    found = answer("plan", "c02", "--seed", "7")
    assert len(found["trials"]) == C02_TRIALS
    assert {(one["arm"], one["repeat"]) for one in found["trials"][:5]} == {(arm["arm"], 1) for arm in found["arms"]}
    sweep = found["predictions"][0]
    assert (sweep["arm"], sweep["over"], sweep["predicted"]) == ("sync", "workers", 1.0)
    assert [(one["at"], one["predicted"]) for one in sweep["levels"]] == [(1, 5), (2, 10), (4, 20), (8, 40)]
    assert sweep["levels"][1]["formula"] == "min(20 users / 0.2 s, 2 workers / 0.2 s)"
    assert found["predictions"][3]["predicted"] == 100.0
    assert "python -m waitlab.serve" in found["arms"][0]["commands"]["service"]
    assert "/sync/sleep?ms=200" in found["arms"][0]["commands"]["load"]
    assert 100 < found["seconds"] < 600
    assert answer("plan", "C02", "--seed", "7") == found
    text = lab("plan", "c02").stdout
    assert f"{C02_TRIALS} trials" in text
    assert "5 req/s to 40 req/s" in " ".join(text.split())
    assert "Nothing was run" in text


def test_a_plan_names_where_a_value_comes_from_that_must_be_measured_first() -> None:
    found = {one["arm"]: one for one in answer("plan", "c15")["predictions"]}
    assert found["threads threads=10"]["predicted"] is None
    assert "cpu_ms_per_request of threads threads=10" in found["threads threads=10"]["formula"]
    *_, last = answer("plan", "c26")["predictions"]
    assert last["formula"] == "1.5 x switches_voluntary_per_request of threads ms=20"


def test_a_plan_warns_of_a_warm_up_that_outlasts_the_measurement(mine: Path) -> None:
    mine.write_text(mine.read_text().replace("users = 20", "users = 300"))
    (warning,) = answer("plan", mine)["warnings"]
    assert "the warm-up of 30 s outlasts the 10 s that are measured; 100 users fit, or say seconds = 30" in warning


def test_every_experiment_can_be_planned() -> None:
    for asked in suites.catalogue():
        found = planned.plan(asked, 1, 1.0)
        assert json.dumps(found, allow_nan=False)
        assert len(found["predictions"]) == len(asked.predictions)
        assert not [warning for warning in found["warnings"] if "outlasts" in warning]


def test_what_is_no_experiment_is_refused_with_the_nearest_name(tmp_path: Path, mine: Path) -> None:
    assert "did you mean c02-sync-worker-serves-one?" in refused(2, "plan", "c2-sync-worker-serves-one")
    assert "lab list shows them" in refused(2, "run", "nothing-like-it")
    assert "cannot be read" in refused(2, "plan", tmp_path / "none.toml")
    mine.write_text(mine.read_text().replace("users = 20", "user = 20"))
    assert "load.user is not known: 'user' is no key here\n  -> did you mean users?" in refused(2, "run", mine)
    mine.write_bytes(b"\xff\xfe")
    assert "is not text" in refused(2, "plan", mine)


def test_run_takes_one_experiment_or_a_suite_and_reads_all_before_anything_starts(mine: Path) -> None:
    for words in (["run"], ["run", "c02", "--suite", "A"]):
        assert "one experiment, or --suite" in refused(2, *words)
    assert "there is no suite 'E'" in refused(2, "run", "--suite", "E")
    assert "is not a valid" in refused(2, "run", "c02", "--seed", "x").lower() + "is not a valid"
    assert "there is no folder" in refused(2, "run", "c02", "--junit", mine.parent / "none" / "gate.xml")
    told = json.loads(lab("run", "nothing-like-it", "--json").stdout.splitlines()[-1])
    assert (told["code"], told["predictions"], told["run"]) == (2, [], None)
    assert "there is no experiment" in told["reason"]


def test_in_a_container_they_say_where_they_belong() -> None:
    for words in (["list"], ["run", "c02"], ["report"]):
        assert "use ./lab on the host" in refused(2, *words, LAB_INSIDE="compose")


# runs, report, export


def test_runs_lists_every_run_newest_first_also_one_that_is_broken(root: Path) -> None:
    found = answer("runs", "--results", root)
    assert [one["run"][:19] for one in found] == [
        f"2026-11-{when}" for when in ("21T10-32-07",) * 2 + ("21T09-32-07", "20T10-00-00")
    ]
    assert "experiment.toml is missing" in found[-1]["trouble"]
    assert "not judged" in lab("runs", "--results", root).stdout
    assert "no run in" in lab("runs", "--results", root / "none").stdout
    assert answer("runs", "--results", root / "none") == []


def test_a_report_is_tables_here_and_two_files_in_the_folder(root: Path) -> None:
    called = lab("report", "c02", "--results", root)
    assert called.returncode == 0
    assert "4 confirmed" in called.stdout
    folder = root / f"{reported.STAMP}-c02-sync-worker-serves-one"
    parsed((folder / "report.html").read_text())
    assert (folder / "report.md").read_text().startswith("# A synchronous worker")
    assert results.read(folder).trials


@pytest.mark.parametrize(
    "of", ["c02", "c02-sync-worker-serves-one", f"{reported.STAMP}-c02-sync-worker-serves-one", None]
)
def test_a_run_is_found_by_what_a_person_calls_it(root: Path, of: str | None) -> None:
    found = answer("report", *([of] if of else []), "--results", root)
    assert found["run"].endswith(f"{reported.STAMP}-c0{'2-sync-worker-serves-one' if of else found['experiment'][2:]}")
    assert {
        "says",
        "arm",
        "law",
        "formula",
        "predicted",
        "low",
        "high",
        "measured",
        "verdict",
        "expected",
        "reason",
    } <= set(found["predictions"][0])


def test_one_form_goes_where_it_is_wanted(root: Path, tmp_path: Path) -> None:
    page = tmp_path / "mine.html"
    assert lab("report", "c06", "--results", root, "-o", page).returncode == 0
    called = lab("report", "c06", "--results", root, "-o", "-")
    assert called.stdout == page.read_text()
    assert not list(root.glob("*/report.*"))
    assert "neither .html nor .md" in refused(2, "report", "c06", "--results", root, "-o", tmp_path / "mine.pdf")
    assert "there is no folder" in refused(2, "report", "c06", "--results", root, "-o", tmp_path / "no" / "mine.md")


def test_an_export_is_opened_by_anybody(root: Path, tmp_path: Path) -> None:
    packed = tmp_path / "run.zip"
    told = answer("export", "c06", "--results", root, "-o", packed)
    assert told["bytes"] == packed.stat().st_size
    assert answer("report", packed)["predictions"] == answer("report", "c06", "--results", root)["predictions"]
    assert lab("report", packed).returncode == 0
    assert (tmp_path / "run.html").exists()
    assert "is a file already" in refused(2, "export", packed)
    assert "-o FILE.zip" in refused(2, "export", "c06", "--results", root, "-o", tmp_path)


def test_foreign_and_broken_runs_are_refused_with_the_reason(root: Path, tmp_path: Path) -> None:
    folder = root / f"{reported.STAMP}-c02-sync-worker-serves-one"
    foreign = tmp_path / "foreign.zip"
    with zipfile.ZipFile(foreign, "w") as file:
        file.writestr("../../evil", "x")
    (tmp_path / "text.zip").write_text("no zip")
    assert "holds files that no run has" in refused(2, "report", foreign)
    assert "is no exported run" in refused(2, "report", tmp_path / "text.zip")
    assert "did you mean" in refused(2, "report", "c02-sync-worker-serves-two", "--results", root)
    assert "there is no run in" in refused(2, "report", "--results", tmp_path / "none")
    trials = folder / results.TRIALS
    whole = trials.read_bytes()
    trials.write_bytes(whole.replace(b'"repeat": 1', b'"repeat": 2', 1))
    assert "its checksum is wrong" in refused(2, "report", "c02", "--results", root)
    trials.write_bytes(whole[: len(whole) // 2])
    assert "was cut off while it was written" in " ".join(lab("report", folder).stdout.split())
    (folder / results.QUESTION).write_text("title = 1")
    assert "is not what it was when this was measured" in refused(2, "report", folder)
    (folder / results.MACHINE).unlink()
    assert "machine.json is missing" in refused(2, "export", folder)


# compare


def five(root: Path, stamp: str, change: Callable[[Trial], Trial] = lambda trial: trial) -> Path:
    folder = results.create(root, "mine", stamp, QUESTION, {"cores": 4})
    for repeat in range(1, 6):
        trial = made.trial(9.8 + 0.02 * repeat, repeat=repeat)
        results.append(folder, change(replace(trial, began=made.NOTICE)))
    return folder


def faster(trial: Trial) -> Trial:
    assert trial.client
    many = made.trial(1.3 * trial.client.counted / trial.client.seconds, repeat=trial.repeat)
    return replace(many, began=trial.began)


def test_two_runs_are_compared_in_words(tmp_path: Path) -> None:
    first, same = five(tmp_path, "2026-11-21T10-00-00"), five(tmp_path, "2026-11-21T11-00-00")
    better = five(tmp_path, "2026-11-21T12-00-00", faster)
    words = {
        one["quantity"]: one["word"]
        for one in answer("compare", first, same, "--quantity", "throughput_rps")["compared"]
    }
    assert words == {"throughput_rps": "no practical difference"}
    told = answer("compare", first, better, "--quantity", "throughput_rps", "--quantity", "p50_ms")
    assert [one["word"] for one in told["compared"]] == ["faster", "faster"]
    assert told["notes"] == []
    called = lab("compare", better, first, "--quantity", "throughput_rps")
    assert (called.returncode, "slower" in called.stdout) == (0, True)


def test_a_comparison_takes_what_was_predicted_and_says_what_cannot_be_told(tmp_path: Path) -> None:
    called = lab("compare", FOLDERS["good"], FOLDERS["cut-off"])
    assert called.returncode == 120
    assert "too few repeats: 3 can be used, 5 are needed" in " ".join(called.stdout.split())
    found = answer("compare", FOLDERS["good"], FOLDERS["cut-off"])["compared"]
    assert {(one["arm"], one["quantity"]) for one in found} >= {("sync", "throughput_rps"), ("sync", "mean_ms")}


def test_what_makes_two_runs_hard_to_compare_is_said(tmp_path: Path) -> None:
    first = five(tmp_path, "2026-11-21T10-00-00")
    other = results.create(tmp_path, "mine", "2026-11-21T11-00-00", QUESTION.replace("ms=200", "ms=100"), {"cores": 2})
    notes = answer("compare", first, other)["notes"]
    assert [note.partition(":")[0] for note in notes] == [
        "the runs did not ask the same",
        "sync was not set up the same in both",
        "the machines differ",
    ]
    assert "did you mean throughput_rps?" in refused(2, "compare", first, other, "--quantity", "throughput")
    strange = reported.write(tmp_path, "c06")
    assert "no arm in common" in refused(2, "compare", first, strange)
    assert "nothing to compare" in refused(2, "compare", first, other, "--quantity", "first_finish_ms")


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
    assert [name[:3] for name in chapters["A"]] == [*(f"c{number:02}" for number in range(1, 13)), "c55"]
    assert [name[:3] for name in chapters["D"]] == ["c30", "c31", "c32", "c34"]
    assert len(chapters["L"]) == 8


def test_the_quick_suite_takes_a_quarter_of_an_hour_and_any_machine() -> None:
    quick = suites.experiments("quick")
    assert sum(len(one.predictions) for one in quick) >= 12
    assert sum(forecast.run_s(one, 1.0) for one in quick) < 13.5 * 60  # what the machine spoils is measured again
    for one in quick:
        assert not one.needs
        assert not any("burn" in arm.request or "mixed" in arm.request for arm in one.arms)


def test_part_one_takes_three_hours_at_most() -> None:
    assert sum(forecast.run_s(one, 1.0) for one in suites.catalogue()) < 3 * 3600


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
    found = re.search(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


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
