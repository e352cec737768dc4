"""What a results folder says, judged from the folder alone: on any machine, again and again, the same.

The question is the text that was stored with the trials, so that an experiment changed since cannot change a verdict.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from waitlab import configuration, experiment, quantities, results, validity, verdict
from waitlab.experiment import Arm, Experiment, Prediction
from waitlab.laws import Predicted
from waitlab.trial import Trial
from waitlab.verdict import Judged, Outcome


@dataclass(frozen=True)
class Judgement:
    """One run with every prediction judged; `judged` is in the order of `experiment.predictions`."""

    run: results.Run
    experiment: Experiment
    judged: tuple[Judged, ...]
    outcome: Outcome

    def trials_of(self, arm: Arm) -> list[Trial]:
        """The trials of one arm by repeat, whatever became of them."""
        return sorted((trial for trial in self.run.trials if trial.arm == arm.name), key=lambda trial: trial.repeat)

    @property
    def missing(self) -> int:
        """How many planned trials were not measured."""
        planned = {(arm.name, repeat) for arm in self.experiment.arms for repeat in range(1, arm.load.repeats + 1)}
        return len(planned - self.run.measured)


def of(run: results.Run, interrupted: bool = False) -> Judgement:
    """Judge a run. LabError where its question cannot be read by this version."""
    return judge(run, experiment.recorded(run.question, run.name, Path(results.QUESTION)), interrupted)


def judge(run: results.Run, asked: Experiment, interrupted: bool = False) -> Judgement:
    """Judge a run whose question is read already."""

    def predict(prediction: Prediction, arm: Arm, measured: Mapping[str, float]) -> Predicted:
        return configuration.predict(prediction, arm, measured, cores_of(run, arm), executor_threads_of(run, arm))

    found = tuple(verdict.judge(asked, run.trials, quantities.read, predict))
    return Judgement(run, asked, found, verdict.outcome(found, interrupted))


def spoilt(asked: Experiment, trial: Trial) -> str:
    """What took a figure away that is asked of this trial, where another try may mend it; empty where nothing did.

    Only the machine's doing counts, never what the service did: a service that answers wrongly is a finding.
    """
    (arm,) = (arm for arm in asked.arms if arm.name == trial.arm)
    found = [one for one in validity.findings(trial, arm.load) if one.rule in validity.MENDABLE]
    lost = (validity.taken(found, one, arm.name, arm.load.duet) for one in asked.predictions)
    return next((f"{those[0].rule}, {those[0].says}" for taken in lost for those in taken.values()), "")


def cores_of(run: results.Run, arm: Arm) -> float:
    """How many cores the arm's service had, as its trials say; where none says, all but the generator's."""
    told = {trial.arm: trial.machine.service_cores for trial in run.trials if trial.machine}
    return float(told.get(arm.name) or max(told.values(), default=1))


def executor_threads_of(run: results.Run, arm: Arm) -> int | None:
    """How many threads the loop's default executor had where it was measured; None where no trial says."""
    told = (trial.service.get("executor_threads") for trial in run.trials if trial.arm == arm.name)
    return next((threads for threads in told if isinstance(threads, int)), None)


def as_json(judgement: Judgement, folder: Path, seconds: float) -> dict[str, Any]:
    """What `run --json` prints last and what verdict.json holds. `seconds`: how long the run took."""
    return {
        "experiment": judgement.experiment.name,
        "run": str(folder),
        "seconds": round(seconds, 1),
        "code": judgement.outcome.code,
        "reason": judgement.outcome.reason,
        "predictions": list(predictions(judgement)),
    }


def predictions(judgement: Judgement) -> Iterator[dict[str, Any]]:
    """Every prediction as a program reads it."""
    for one in judgement.judged:
        points = [asdict(point) | {"measured": list(point.measured)} for point in one.points]
        told = asdict(one) | {"measured": list(one.measured), "points": points}
        squares = told.pop("squares")
        yield told | ({"cells": squares} if squares else {})
