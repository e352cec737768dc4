"""What is said of whole results folders, from the folder alone. The folders are made up: no machine measured them."""

from functools import partial
from pathlib import Path

import pytest

from tests.verdicts import made_up_runs
from waitlab import configuration, experiment, quantities, results, verdict

FOLDERS = {path.name.removeprefix(f"{made_up_runs.STAMP}-"): path for path in made_up_runs.FOLDER.iterdir()}


def judged(folder: Path) -> list[verdict.Judged]:
    question = experiment.read(folder / results.QUESTION)
    predict = partial(configuration.predict, cores=3)
    return verdict.judge(question, results.read(folder).trials, quantities.read, predict)


def test_they_are_what_their_source_writes_and_say_that_they_are_made_up(tmp_path: Path) -> None:
    made_up_runs.write(tmp_path)
    names = made_up_runs.names(made_up_runs.FOLDER)
    assert names == made_up_runs.names(tmp_path)
    for name in names:
        assert (tmp_path / name).read_bytes() == (made_up_runs.FOLDER / name).read_bytes(), (
            "python -m tests.verdicts.made_up_runs writes them anew"
        )
        assert made_up_runs.NOTICE in (tmp_path / name).read_text(errors="replace")


@pytest.mark.parametrize(
    ("name", "words", "code", "reason"),
    [
        ("good", ["confirmed", "confirmed"], 0, "2 of 2 predictions judged as expected"),
        ("noisy", ["confirmed", "inconclusive"], 120, "repeat 1: G7, 40% of the slices were noisy"),
        ("generator-bound", ["inconclusive", "confirmed"], 120, "repeat 1: G3, generator-bound: 25 users"),
        ("broken", ["inconclusive"] * 2, 120, "repeat 1: G2, clients sent 394, the service took 398"),
        ("interrupted", ["inconclusive"] * 2, 120, "2 can be used, 3 are needed; left out: 1 not measured"),
    ],
)
def test_each_ends_as_its_name_says(name: str, words: list[str], code: int, reason: str) -> None:
    found = judged(FOLDERS[name])
    assert [one.verdict for one in found] == words
    ended = verdict.outcome(found)
    assert ended.code == code
    assert reason in ended.reason
    assert (found[0].predicted, found[0].formula) == (10.0, "min(20 users / 0.2 s, 2 workers / 0.2 s)")


def test_what_an_interruption_cut_off_is_said() -> None:
    run = results.read(FOLDERS["interrupted"])
    assert run.remarks == ("the trial on line 4 was cut off while it was written, and is not counted",)
    assert run.measured == {("sync", 1), ("sync", 2)}
