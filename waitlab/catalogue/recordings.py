"""The last run of each experiment, kept beside its page as the one file that `lab export` writes."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from waitlab import judgement, results
from waitlab.errors import LabError
from waitlab.experiment import Experiment, Prediction
from waitlab.judgement import Judgement

ENDED = (0, 99, 120)  # what a run that came to its end may have as exit status
RUNS = "runs"
SHOWN = "docs/experiments/runs"  # as it is typed in a clone


def path(asked: Experiment, folder: Path) -> Path:
    """Where the recorded run of an experiment lies, or would."""
    return folder / RUNS / f"{asked.name}.zip"


def kept(asked: Experiment, folder: Path) -> Judgement | None:
    """The recorded run, judged; None where there is none, or one that asked something else. LabError as `read`."""
    file = path(asked, folder)
    if not file.exists():
        return None
    found = judgement.of(results.read(file))
    return found if asks_the_same(found.experiment, asked) else None


def take(asked: Experiment, root: Path, folder: Path) -> str:
    """Record the newest run that came to its end, where it is newer than what is recorded; its name, or nothing."""
    before = kept(asked, folder)
    for run in results.folders(root):
        if not run.name.endswith(f"-{asked.name}") or (before and run.name <= f"{before.run.began}-{before.run.name}"):
            continue
        found = _ended(run)
        if found and asks_the_same(found.experiment, asked):
            path(asked, folder).parent.mkdir(parents=True, exist_ok=True)
            _record(found, run, path(asked, folder))
            return run.name
    return ""


def asks_the_same(one: Experiment, other: Experiment) -> bool:
    """Whether both measure and predict the same, in whatever words."""
    return one.arms == other.arms and _without_words(one) == _without_words(other)


def _without_words(asked: Experiment) -> list[Prediction]:
    return [_wordless(one) for one in asked.predictions]


def _wordless(one: Prediction) -> Prediction:
    members = {at: _wordless(member) for at, member in one.members.items()}
    return replace(one, says="", instead="", members=members)


def _ended(run: Path) -> Judgement | None:
    """The run, where it can be read and came to its end."""
    try:
        read = results.read(run)
        return judgement.of(read) if read.verdict.get("code") in ENDED else None
    except LabError:
        return None


def _record(found: Judgement, run: Path, target: Path) -> None:
    """The run in one file, judged as this version judges."""
    seconds = found.run.verdict.get("seconds")
    told = judgement.as_json(found, Path(run.name), seconds if isinstance(seconds, int | float) else 0.0)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / run.name
        copy.mkdir()
        for file in results.FILES:
            shutil.copyfile(run / file, copy / file)
        results.conclude(copy, told)
        results.export(copy, target)
