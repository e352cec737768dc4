"""Trials, step by step: serve, check who answers and what, load and measure, check again.

Mostly one trial by itself. Those of a duet take every step together: single-threaded, so that Ctrl-C ends all of them.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from waitlab import configuration, descriptors, drive
from waitlab.errors import LabError
from waitlab.experiment import Arm
from waitlab.runner import answers, cores, identity, measures, noise, observe, service, singles, surroundings, window
from waitlab.runner.cores import Share
from waitlab.runner.observe import Samples
from waitlab.runner.service import Serving
from waitlab.runner.stage import Draft, Ground, Stage, Told, each, labels, naming, require, words
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
    arm, outside = draft.planned.arm, configuration.upstream(draft.planned.arm)
    with _folder(ground.around.folder / f"trial-{draft.planned.order}") as folder, ExitStack() as until_ended:
        load = folder / "load"
        load.mkdir()
        generator = nullcontext() if arm.load.concurrent else drive.standby(load, ground.around.inherited)
        with naming(draft):
            ready = until_ended.enter_context(generator)
            with cores.kept_to(share.usable):
                around = until_ended.enter_context(surroundings.with_upstream(ground.around, outside, folder))
            serving = until_ended.enter_context(service.serving(arm, share, around, folder))
        commands = service.commands(arm, share, serving.edge)
        commands |= {"upstream": surroundings.upstream_command(outside)} if outside else {}
        replicas = {"replicas": len(serving.each)} if serving.replicas else {}
        draft.known |= {"service": {**serving.facts, **replicas}, "commands": commands}
        yield Stage(arm, share, replace(ground, around=around), serving, load, draft, ready)


def checked(serving: Serving, arm: Arm, draft: Draft) -> identity.Entry:
    """Who answers before the load. LabError when it is not what was started, or not as the contract says."""
    before = identity.ask(serving)
    verified = answers.verify(serving.door, *arm.requests)
    draft.known |= {"identity": (before,), "wrong_answers": verified.wrong, "verified": verified.count}
    require(f"a wrong answer: {verified.wrong[0]}" if verified.wrong else "")
    identity.require_metrics(serving, *labels(arm))
    return before


def _serve(stages: Sequence[Stage], told: Told) -> None:
    """From services that serve to ones that have been measured."""
    told("verifying")
    before = each(stages, lambda stage: checked(stage.serving, stage.arm, stage.draft))
    if stages[0].arm.load.concurrent:
        _send_singles(stages[0], told)
        during = []
    else:
        during = [window.drive(stages, told)]
    after = each(stages, lambda stage: identity.ask(stage.serving))
    for stage, *said in zip(stages, before, *during, after, strict=True):
        stage.note(identity=tuple(said))


def _send_singles(stage: Stage, told: Told) -> None:
    """A few requests at once, each on a connection of its own."""
    serving, count = stage.serving, stage.arm.load.concurrent
    began, before, readings = observe.counts(serving), observe.look(serving), [stage.read_noise()]
    told("measuring")
    sent = singles.send(serving, stage.arm.request, count)
    after = observe.look(serving)
    readings.append(stage.read_noise())
    samples = Samples()
    samples.take(serving, last=True)
    drained = window.settled(serving, began, count)
    told("ending")
    stage.note(
        singles=sent.requests,
        client=sent.client,
        server=observe.server(before, after, samples, stage.labels, (began, drained)),
        machine=noise.machine(readings, stage.share),
    )


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
                require(stage.serving.ailment)
        raise LabError(words(error)) from error


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
