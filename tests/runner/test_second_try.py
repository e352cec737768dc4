"""What the machine spoilt is measured once more, and nothing else is. Only the trials themselves are made up."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.runner import small
from tests.runner.small import STREAM
from waitlab import judgement
from waitlab.experiment import Experiment
from waitlab.results import Run
from waitlab.runner import run as runner
from waitlab.runner.stage import Draft
from waitlab.trial import Trial

Spoils = Callable[[Trial], bool]


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Spoils], None]:
    """Trials that take no time, of which those that a test names are spoilt."""

    def trials(drafts: Sequence[Draft], ground: object, told: object) -> tuple[Trial, ...]:
        return tuple(draft.ended(runner.MEASURED) for draft in drafts)

    def with_(spoils: Spoils) -> None:
        monkeypatch.setattr(judgement, "spoilt", lambda asked, trial: "G7, noise" if spoils(trial) else "")

    monkeypatch.setattr(runner, "run_trials", trials)
    monkeypatch.setattr(runner, "MOST_AGAIN", 1 / 2)
    return with_


def ended(run: Run) -> list[tuple[int, str]]:
    return [(trial.repeat, trial.ended.partition(":")[0]) for trial in run.trials]


def asked(folder: Path, repeats: int) -> Experiment:
    return small.ask(folder, STREAM, repeats=repeats)


def test_it_is_measured_at_the_end_and_then_counts(tmp_path: Path, spoil: Callable[[Spoils], None]) -> None:
    spoil(lambda trial: trial.repeat == 1)
    run = small.run(asked(tmp_path, 3), tmp_path)
    assert ended(run) == [(1, runner.SET_ASIDE), (2, "measured"), (3, "measured"), (1, "measured")]
    assert run.trials[0].ended.endswith(": G7, noise")
    assert run.trials[0].order == run.trials[3].order


def test_each_is_tried_three_times_at_most(tmp_path: Path, spoil: Callable[[Spoils], None]) -> None:
    spoil(lambda trial: trial.repeat == 2)
    run = small.run(asked(tmp_path, 6), tmp_path)
    assert [one for repeat, one in ended(run) if repeat == 2] == [runner.SET_ASIDE, runner.SET_ASIDE, "measured"]


def test_no_more_than_half_of_them(tmp_path: Path, spoil: Callable[[Spoils], None]) -> None:
    spoil(lambda trial: True)
    run = small.run(asked(tmp_path, 7), tmp_path)
    assert [one for _, one in ended(run)].count(runner.SET_ASIDE) == 3
    assert len(run.measured) == 7


def test_a_run_that_goes_on_remembers_what_was_tried(tmp_path: Path, spoil: Callable[[Spoils], None]) -> None:
    def interrupt(step: runner.Step) -> None:
        if step.done == 2 and step.doing == runner.MEASURED:  # all are measured, but for a second try
            raise KeyboardInterrupt

    spoil(lambda trial: trial.repeat == 1)
    question = asked(tmp_path, 3)
    assert len(small.run(question, tmp_path, interrupt).trials) == 3
    (folder,) = (tmp_path / "results").iterdir()
    run = small.run(question, tmp_path, resume=folder)
    assert ended(run)[-1] == (1, "measured")
    assert [one for _, one in ended(run)].count(runner.SET_ASIDE) == 1
