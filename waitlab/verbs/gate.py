"""`lab run`: one experiment or a suite from its files to an exit status, with everything that was measured kept."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from waitlab import experiment, judgement, results, suites
from waitlab.errors import LabError
from waitlab.experiment import Experiment
from waitlab.judgement import Judgement
from waitlab.panels import output
from waitlab.report import files, terminal
from waitlab.runner import run as runner
from waitlab.verbs import commands, junit
from waitlab.verbs.console import console
from waitlab.verbs.planned import cores, new_seed
from waitlab.verbs.progress import progress

RESUME_SECONDS = 24 * 3600
INTERRUPTED, NOT_READY = 105, 122
# Of several experiments the first of these codes that one of them ended in; a wrong verdict outranks a missing one.
RANKED = (INTERRUPTED, 99, 2, NOT_READY, 1, 120, 0)


@dataclass(frozen=True)
class Asked:
    """What `lab run` was asked. Of `what` and `suite` exactly one is given."""

    what: str | None
    suite: str | None
    resume: bool
    seed: int | None
    results: Path

    def experiments(self) -> list[Experiment]:
        """Everything that is to be run, read before anything starts. LabError 2."""
        if (self.what is None) == (self.suite is None):
            hint = f"./lab run c02, ./lab run mine.toml or ./lab run --suite NAME: {', '.join(suites.NAMES)}"
            raise LabError("lab run takes one experiment, or --suite", hint, 2)
        if self.suite is not None:
            return suites.experiments(self.suite)
        one = experiment.read(experiment.find(str(self.what)))
        commands.check(one)
        return [one]


@dataclass(frozen=True)
class Ended:
    """How one experiment ended; `found` and `folder` are None where nothing was measured."""

    asked: Experiment
    code: int
    reason: str
    seconds: float
    found: Judgement | None = None
    folder: Path | None = None
    fault: LabError | None = None  # why nothing was measured

    def as_json(self) -> dict[str, Any]:
        """The object that `run --json` prints."""
        if self.fault:
            return _nothing(self.asked.name, self.fault)
        assert self.found is not None
        assert self.folder is not None
        known = judgement.as_json(self.found, self.folder, self.seconds)
        return known | {"seconds": round(self.seconds, 1), "code": self.code, "reason": self.reason}


def run(asked: Asked, environment: Mapping[str, str], gate: Path | None, as_json: bool) -> int:
    """Run it all and say what came of it; the exit status. LabError where nothing could be begun."""
    try:
        wanted = asked.experiments()
    except LabError as error:
        if as_json:
            print(json.dumps(_nothing(asked.what or asked.suite, error)))
        raise
    began = time.monotonic()
    with output.whole_file(gate, "--junit FILE") if gate else nullcontext() as file:
        ended = list(_each(asked, wanted, environment, as_json))
        if file:
            file.write(junit.suites([(one.asked, one.found, one.reason, one.seconds) for one in ended]))
    if asked.suite is not None:
        _summarise(asked, ended, len(wanted), time.monotonic() - began, as_json)
    elif ended[0].fault:
        raise ended[0].fault
    return _code(ended)


def _each(asked: Asked, wanted: Sequence[Experiment], environment: Mapping[str, str], as_json: bool) -> Iterator[Ended]:
    """One experiment after the other; an interruption ends them all. The machine is looked at once."""
    machine: Mapping[str, Any] | None = None
    for one in wanted:
        ended = _one(asked, one, environment, machine)
        machine = ended.found.run.machine if ended.found else machine
        _tell(ended, as_json)
        yield ended
        if ended.code == INTERRUPTED:
            return


def _one(asked: Asked, one: Experiment, environment: Mapping[str, str], machine: Mapping[str, Any] | None) -> Ended:
    """Measure what is left to measure, then judge what the folder says; of a suite, the others go on without it."""
    began = time.monotonic()
    try:
        folder, fault = _measure(asked, one, environment, machine)
    except (LabError, KeyboardInterrupt) as error:
        known = (
            error if isinstance(error, LabError) else LabError("interrupted: nothing was measured", code=INTERRUPTED)
        )
        return Ended(one, known.code, known.told, time.monotonic() - began, fault=known)
    return _judged(one, folder, fault, time.monotonic() - began)


def _measure(
    asked: Asked, one: Experiment, environment: Mapping[str, str], machine: Mapping[str, Any] | None
) -> tuple[Path, LabError | None]:
    """The results folder, and what ended the run early."""
    before = newest(asked.results, one) if asked.resume else None
    if before and not judgement.of(results.read(before)).missing:
        return before, None
    seed = asked.seed if asked.seed is not None else new_seed()
    try:
        with progress(one, float(cores()), console(stderr=True)) as told:
            return runner.run(one, asked.results, environment, seed, told, resume=before, facts=machine), None
    except runner.EndedError as ended:
        return ended.folder, ended


def _nothing(what: str | None, fault: LabError) -> dict[str, Any]:
    """What JSON says of an experiment of which nothing was measured."""
    known = {"experiment": what, "run": None, "seconds": 0.0, "code": fault.code, "reason": fault.told}
    return known | {"predictions": []}


def _judged(one: Experiment, folder: Path, fault: LabError | None, seconds: float) -> Ended:
    found = judgement.of(results.read(folder), interrupted=fault is not None and fault.code == INTERRUPTED)
    files.write(found, folder)
    if fault and fault.code != INTERRUPTED:
        return Ended(one, fault.code, fault.told, seconds, found, folder)
    return Ended(one, found.outcome.code, found.outcome.reason, seconds, found, folder)


def newest(root: Path, one: Experiment) -> Path | None:
    """The newest run of the same question, not older than a day; None without one."""
    for folder in results.folders(root):
        try:
            read = results.read(folder)
            recent = time.time() - (folder / results.TRIALS).stat().st_mtime < RESUME_SECONDS
        except (LabError, OSError):
            continue
        if read.name == one.name and read.question == one.text and recent:
            return folder
    return None


def _tell(ended: Ended, as_json: bool) -> None:
    if as_json:
        print(json.dumps(ended.as_json()), flush=True)
        return
    to = console()
    if ended.found is None:
        console(stderr=True).print(Text(f"{ended.asked.name} was not run"))
        return
    to.print(terminal.verdicts(ended.found))
    if ended.code != ended.found.outcome.code:
        to.print(Text(ended.reason, "yellow"))
    _where(ended, to)


def _where(ended: Ended, to: Console) -> None:
    to.print(Text(f"written: {ended.folder}/{files.PAGE}"), soft_wrap=True)
    if ended.code in (INTERRUPTED, NOT_READY):
        to.print(Text(f"to go on: ./lab run {ended.asked.name} --resume"))
    to.print()


def _summarise(asked: Asked, ended: list[Ended], wanted: int, seconds: float, as_json: bool) -> None:
    """The last word on a suite; as JSON, one object that has every prediction of every experiment."""
    code, good = _code(ended), sum(one.code == 0 for one in ended)
    first = next((f"; first {one.asked.name}: {one.reason}" for one in ended if one.code == code and code), "")
    reason = f"{good} of {wanted} experiments as expected{first}"
    if not as_json:
        console().print(Text(f"suite {asked.suite}: {reason}", "bold"))
        return
    every = [one.as_json() for one in ended]
    told = {
        "suite": asked.suite,
        "experiment": [one["experiment"] for one in every],
        "run": [one["run"] for one in every],
        "seconds": round(seconds, 1),
        "code": code,
        "reason": reason,
        "predictions": [{"experiment": one["experiment"], **each} for one in every for each in one["predictions"]],
    }
    print(json.dumps(told))


def _code(ended: Sequence[Ended]) -> int:
    return next((code for code in RANKED if any(one.code == code for one in ended)), 1)
