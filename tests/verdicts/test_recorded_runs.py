"""What is said of whole results folders that were recorded, from the folder alone."""

import re
from pathlib import Path

import pytest

from tests.verdicts import recording
from tests.verdicts.recorded import FOLDERS
from waitlab import experiment, judgement, results
from waitlab.judgement import Judgement
from waitlab.report import facts

MOST_BYTES = 60 * 1024
# Of a machine, a person or a secret; a request's path has none of these words.
PLACE = re.compile(
    r"/(?:tmp|home|root|work|usr|opt|var|srv|mnt|Users|site-packages)\b|[\w.]+@[\w.]+|password|\.local\b"
)


def judged(name: str) -> Judgement:
    return judgement.of(results.read(FOLDERS[name]))


def words(name: str) -> dict[tuple[str, str], str]:
    return {(one.arm, one.quantity): one.verdict for one in judged(name).judged}


def test_each_way_in_which_a_run_ends_was_recorded() -> None:
    assert set(FOLDERS) == set(recording.KINDS)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_is_small_and_names_no_place_person_or_secret(name: str) -> None:
    files = list(FOLDERS[name].iterdir())
    assert sum(file.stat().st_size for file in files) < MOST_BYTES
    for file in files:
        assert not PLACE.findall(file.read_text()), file


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_was_asked_what_its_question_still_asks(name: str) -> None:
    run = results.read(FOLDERS[name])
    file = recording.QUESTIONS / f"{run.name}.toml"
    assert run.question == file.read_text()
    assert experiment.read(file).name == run.name


def test_a_good_run_confirms_what_theory_says() -> None:
    of = judged("good")
    assert [one.verdict for one in of.judged] == ["confirmed"] * 3
    assert (of.outcome.code, of.outcome.reason) == (0, "3 of 3 predictions judged as expected")
    assert (of.judged[0].predicted, of.judged[0].formula) == (10.0, "min(4 users / 0.2 s, 2 workers / 0.2 s)")
    assert of.missing == 0


@pytest.mark.parametrize("name", sorted(set(FOLDERS) - {"cut-off", "interrupted"}))
def test_what_was_judged_after_the_run_is_judged_today(name: str) -> None:
    of = judged(name)
    stored = of.run.verdict
    assert stored["code"] == of.outcome.code
    assert [one["verdict"] for one in stored["predictions"]] == [one.verdict for one in of.judged]
    assert [one["measured"] for one in stored["predictions"]] == [list(one.measured) for one in of.judged]


def test_noise_takes_the_verdict_on_cpu_and_leaves_the_one_on_waiting() -> None:
    assert words("noisy") == {("wait", "throughput_rps"): "confirmed", ("burn", "cpu_ms_per_request"): "inconclusive"}
    of = judged("noisy")
    assert of.outcome.code == 120
    assert re.search(r"G7, \d+% of the slices were noisy", of.outcome.reason)


def test_a_generator_that_is_the_limit_takes_the_verdict_on_its_arm_alone() -> None:
    of = judged("generator-bound")
    assert words("generator-bound") == {
        ("ping", "throughput_rps"): "inconclusive",
        ("sleep", "throughput_rps"): "confirmed",
    }
    assert of.outcome.code == 120
    for trial in of.trials_of(of.experiment.arms[0]):
        assert {one.rule for who, one in facts.broken(of) if who == trial} & {"G3", "G4"}


def test_a_broken_service_takes_the_verdicts_on_its_arm_alone() -> None:
    of = judged("broken")
    assert words("broken") == {
        ("sync", "throughput_rps"): "inconclusive",
        ("sync", "mean_ms"): "inconclusive",
        ("async", "throughput_rps"): "confirmed",
    }
    first, second, third = of.trials_of(of.experiment.arms[0])
    rules = {trial.repeat: {one.rule for who, one in facts.broken(of) if who == trial} for trial in (first, second)}
    assert "G2" in rules[1]
    assert "G1" in rules[2]
    assert first.client
    assert first.server
    assert first.server.completed - first.client.sent == recording.STRAY_REQUESTS
    assert all("/sync/sleep?ms=200" in wrong for wrong in second.wrong_answers)
    assert third.ended.startswith("the service ended")


def test_an_interrupted_run_has_what_was_measured_until_then() -> None:
    of = judged("interrupted")
    assert of.run.verdict["code"] == 105
    assert of.run.measured == {("sync", 1), ("async", 1)}
    assert [trial.ended for trial in of.run.trials if trial.repeat == 2] == ["interrupted"]
    assert {one.verdict for one in of.judged} == {"inconclusive"}
    assert "too few repeats: 1 can be used, 3 are needed" in of.outcome.reason


def test_what_a_kill_cut_off_is_said_and_nothing_before_it_is_lost() -> None:
    run = results.read(FOLDERS["cut-off"])
    lines = (FOLDERS["cut-off"] / results.TRIALS).read_bytes().split(b"\n")
    assert len(lines[-1]) == recording.LESS_THAN_A_LINE
    assert run.remarks == ("the trial on line 7 was cut off while it was written, and is not counted",)
    assert [trial.ended for trial in run.trials] == ["measured"] * 5
    assert not run.verdict
    assert sorted(one.verdict for one in judged("cut-off").judged)[0] == "confirmed"


def test_a_folder_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    whole = results.read(FOLDERS["good"])
    folder = tmp_path / "run"
    folder.mkdir()
    for file in FOLDERS["cut-off"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    measured = results.read(folder).measured
    (last,) = [trial for trial in whole.trials if (trial.arm, trial.repeat) not in measured]
    results.append(folder, last)
    found = results.read(folder)
    assert (len(found.trials), found.remarks) == (6, ())
    assert [one.verdict for one in judgement.of(found).judged] == ["confirmed"] * 3
