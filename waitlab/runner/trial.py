"""Trials, step by step: serve, check who answers and what, load and measure, check again.

Mostly one trial by itself. Those of a duet take every step together: single-threaded, so that Ctrl-C ends all of them.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from waitlab import configuration, descriptors, drive
from waitlab.errors import LabError
from waitlab.runner import cores, inside, measures, noise, outside, singles, surroundings, window
from waitlab.runner.cores import Share
from waitlab.runner.identity import Entry
from waitlab.runner.stage import Draft, Ground, Stage, Told, each, naming, require, words
from waitlab.runner.witness import Witness
from waitlab.trial import Trial

MEASURED = "measured"


def run(drafts: Sequence[Draft], ground: Ground, told: Told) -> tuple[Trial, ...]:
    """The trials that `drafts` plan: one, or those of a duet, each step taken by all before the next.

    A fault of a service or around it ends these trials alone, with the reason.
    """
    around = ground.around
    needs = frozenset(need for draft in drafts for need in configuration.dependencies(draft.planned.arm))
    try:
        require(descriptors.lack(max(draft.planned.arm.load.population for draft in drafts)))
        share = cores.of(drafts[0].planned.arm, ground.usable)
        require(around.ailment(needs))
        surroundings.refuse_other_load(around.targets)
        with cores.kept_to(share.generator), ExitStack() as until_ended:
            told("starting")
            stages = [until_ended.enter_context(_on_stage(draft, share, ground)) for draft in drafts]
            with _blaming(stages):
                _serve(stages, told)
                require(_ailment(stages))
    except (LabError, OSError) as error:
        return tuple(draft.ended(words(error)) for draft in drafts)
    trials = (draft.ended(MEASURED) for draft in drafts)
    return tuple(measures.apply(ground.functions, trial) for trial in trials)


@contextmanager
def _on_stage(draft: Draft, share: Share, ground: Ground) -> Iterator[Stage]:
    """The service of one trial, in a folder of its own, for the length of a `with`."""
    arm, upstream = draft.planned.arm, configuration.upstream(draft.planned.arm)
    with _folder(ground.around.folder / f"trial-{draft.planned.order}") as folder, ExitStack() as until_ended:
        load = folder / "load"
        load.mkdir()
        is_alone = arm.load.concurrent or arm.is_own  # single requests need no Locust; a mix brings its own
        generator = nullcontext() if is_alone else drive.standby(load, ground.around.inherited)
        with naming(draft):
            ready = until_ended.enter_context(generator)
            with cores.kept_to(share.usable):
                around = until_ended.enter_context(surroundings.with_upstream(ground.around, upstream, folder))
            served: AbstractContextManager[Witness] = (
                outside.served(ground.own[arm.name], arm, share, ground.environment, folder)
                if arm.is_own
                else inside.served(arm, share, around, folder)
            )
            witness = until_ended.enter_context(served)
        commands = {**witness.commands, **({"upstream": surroundings.upstream_command(upstream)} if upstream else {})}
        draft.known |= {"service": witness.started, "commands": commands}
        yield Stage(arm, replace(ground, around=around), witness, load, draft, ready)


def checked(witness: Witness, draft: Draft) -> Entry:
    """Who answers before the load. LabError when it is not what was started, or does not answer as it should."""
    before = witness.ask()
    count, wrong = witness.verify()
    draft.known |= {"identity": (before,), "wrong_answers": wrong, "verified": count}
    require(f"a wrong answer: {wrong[0]}" if wrong else "")
    return before


def _serve(stages: Sequence[Stage], told: Told) -> None:
    """From services that serve to ones that have been measured."""
    told("verifying")
    before = each(stages, lambda stage: checked(stage.witness, stage.draft))
    if stages[0].arm.load.concurrent:
        _send_singles(stages[0], told)
        during = []
    else:
        during = [window.drive(stages, told)]
    after = each(stages, lambda stage: stage.witness.ask())
    for stage, *said in zip(stages, before, *during, after, strict=True):
        stage.note(identity=tuple(said))


def _send_singles(stage: Stage, told: Told) -> None:
    """A few requests at once, each on a connection of its own."""
    witness, count = stage.witness, stage.arm.load.concurrent
    witness.begin()
    witness.look()
    readings = [stage.read_noise()]
    told("measuring")
    sent = singles.send(witness.url, witness.log, stage.arm.request, count)
    witness.look()
    readings.append(stage.read_noise())
    witness.sample(last=True)
    witness.settle(count)
    told("ending")
    machine = noise.machine(readings, stage.share)
    stage.note(singles=sent.requests, client=sent.client, machine=machine, **witness.told())


def _ailment(stages: Sequence[Stage]) -> str:
    """What ails what a trial asks, its own upstream or the run's; empty when nothing does."""
    found = (stage.ground.around.ailment(configuration.dependencies(stage.arm)) for stage in stages)
    return next(filter(None, found), "")


@contextmanager
def _blaming(stages: Sequence[Stage]) -> Iterator[None]:
    """A service or dependency that has ended is the reason of whatever failed for want of it."""
    try:
        yield
    except (LabError, OSError) as error:
        require(_ailment(stages))
        for stage in stages:
            with naming(stage.draft):
                require(stage.witness.ailment)
        raise LabError(words(error)) from error


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
