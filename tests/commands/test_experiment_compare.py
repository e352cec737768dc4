"""Two runs are compared in words, and what cannot be told is said."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.commands.verbs import answer, lab, refused
from tests.report import reported
from tests.verdicts import made
from tests.verdicts.recorded import FOLDERS
from waitlab import results
from waitlab.trial import Trial

QUESTION = made.QUESTION.replace("repeats = 3", "repeats = 5")


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
