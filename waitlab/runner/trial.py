"""Trials, step by step: serve, check who answers and what, load, warm up, measure, drain, count, check again.

Mostly one trial by itself. Those of a duet take every step together: single-threaded, so that Ctrl-C ends all of them.
"""

import math
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from waitlab import configuration, drive, forecast
from waitlab.errors import LabError
from waitlab.experiment import Arm, paths
from waitlab.runner import answers, cores, identity, measures, noise, observe, service, singles, steady, surroundings
from waitlab.runner.cores import Share
from waitlab.runner.identity import Asking
from waitlab.runner.measures import Function
from waitlab.runner.noise import Reading
from waitlab.runner.observe import Counts, Look, Samples
from waitlab.runner.order import Planned
from waitlab.runner.service import Serving
from waitlab.runner.surroundings import Surroundings
from waitlab.trial import Trial

MEASURED = "measured"
# Of a file's path all but the last two parts: a folder that goes to others names no place of this machine.
FOLDERS = re.compile(r"""(?<![\w.:/])/(?:[^\s/'":]+/){2,}(?=[^\s/'":]+/[^\s/'":]+)""")
SLICES = 10  # of a window, at least; none longer than a second
POLL_SECONDS = 0.2
FIRST_ANSWER_SECONDS = 30.0  # beyond what the first response takes: the generator's own start is in it
SETTLE_SECONDS = 5.0  # an answer is whole for its client before the service has counted it

Told = Callable[[str], None]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Ground:
    """What all trials of one run share."""

    around: Surroundings
    usable: frozenset[int]
    functions: Mapping[str, Function] = field(default_factory=dict)


@dataclass
class Draft:
    """What is known of a trial so far: whatever ends it, this much of it is written down."""

    planned: Planned
    seed: int
    known: dict[str, Any] = field(default_factory=dict)
    began: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))

    def ended(self, how: str) -> Trial:
        """The trial as it stands: `how` is "measured", or why it was not."""
        blank: dict[str, Any] = {"commands": {}, "service": {}}
        one = self.planned
        return Trial(
            arm=one.arm.name,
            repeat=one.repeat,
            order=one.order,
            seed=self.seed,
            began=self.began,
            ended=FOLDERS.sub(".../", how),
            beside=one.beside,
            **{**blank, **self.known},
        )


@dataclass(frozen=True)
class _Stage:
    """A trial under way: its arm's service serves."""

    arm: Arm
    share: Share
    ground: Ground
    serving: Serving
    folder: Path
    draft: Draft

    def note(self, **found: Any) -> None:
        self.draft.known |= found

    def read_noise(self) -> Reading:
        """What the machine did; the partners of a duet are this run's processes too, and nobody foreign."""
        return noise.read(self.share.usable, self.ground.around.pids)

    @property
    def is_alone(self) -> bool:
        return not self.draft.planned.beside

    @property
    def cores(self) -> float:
        """What its service has of them: in duet its part of the one."""
        return len(self.share.service) / (1 + len(self.draft.planned.beside))


@dataclass(frozen=True)
class _Driven:
    """A stage with its load."""

    stage: _Stage
    driver: drive.Driver
    began: Counts


def run(drafts: Sequence[Draft], ground: Ground, told: Told) -> tuple[Trial, ...]:
    """The trials that `drafts` plan: one, or those of a duet, each step taken by all before the next.

    A fault of a service or around it ends these trials alone, with the reason.
    """
    around = ground.around
    needs = frozenset(need for draft in drafts for need in configuration.dependencies(draft.planned.arm))
    try:
        share = cores.of(drafts[0].planned.arm, ground.usable)
        _require(around.ailment(needs))
        surroundings.refuse_other_load(around.targets)
        with cores.kept_to(share.generator), ExitStack() as until_ended:
            told("starting")
            stages = [until_ended.enter_context(_on_stage(draft, share, ground)) for draft in drafts]
            with _blaming(stages, lambda: around.ailment(needs)):
                _serve(stages, told)
                _require(around.ailment(needs))
    except LabError as error:
        return tuple(draft.ended(error.message) for draft in drafts)
    except OSError as error:  # no room or no right where a trial writes
        return tuple(draft.ended(str(error)) for draft in drafts)
    trials = (draft.ended(MEASURED) for draft in drafts)
    return tuple(measures.apply(ground.functions, trial) for trial in trials)


@contextmanager
def _on_stage(draft: Draft, share: Share, ground: Ground) -> Iterator[_Stage]:
    """The service of one trial, in a folder of its own, for the length of a `with`."""
    arm, around = draft.planned.arm, ground.around
    with _folder(around.folder / f"trial-{draft.planned.order}") as folder, ExitStack() as until_ended:
        with _naming(draft):
            serving = until_ended.enter_context(service.serving(arm, share, around, folder))
        draft.known |= {"service": serving.facts, "commands": {"service": service.command(arm, share)}}
        yield _Stage(arm, share, ground, serving, folder, draft)


def checked(serving: Serving, arm: Arm, draft: Draft) -> identity.Entry:
    """Who answers before the load. LabError when it is not what was started, or not as the contract says."""
    before = identity.ask(serving)
    verified = answers.verify(serving.url, arm.request, arm.load.victim)
    draft.known |= {"identity": (before,), "wrong_answers": verified.wrong, "verified": verified.count}
    _require(f"a wrong answer: {verified.wrong[0]}" if verified.wrong else "")
    identity.require_metrics(serving, *_name(arm))
    return before


def _name(arm: Arm) -> tuple[str, str]:
    """Style and workload of the arm's request, as metrics are labelled with."""
    _, style, workload = paths.split(arm.request)[0].split("/")
    return style, workload


def _serve(stages: Sequence[_Stage], told: Told) -> None:
    """From services that serve to ones that have been measured."""
    told("verifying")
    before = _each(stages, lambda stage: checked(stage.serving, stage.arm, stage.draft))
    if stages[0].arm.load.concurrent:
        _send_singles(stages[0], told)
        during = []
    else:
        during = [_drive(stages, told)]
    after = _each(stages, lambda stage: identity.ask(stage.serving))
    for stage, *said in zip(stages, before, *during, after, strict=True):
        stage.note(identity=tuple(said))


def _send_singles(stage: _Stage, told: Told) -> None:
    """A few requests at once, each on a connection of its own."""
    serving, count = stage.serving, stage.arm.load.concurrent
    began, before, readings = observe.counts(serving), observe.look(serving), [stage.read_noise()]
    told("measuring")
    sent = singles.send(serving, stage.arm.request, count)
    after = observe.look(serving)
    readings.append(stage.read_noise())
    samples = Samples()
    samples.take(serving, last=True)
    drained = _settled(serving, began, count)
    told("ending")
    stage.note(
        singles=sent.requests,
        client=sent.client,
        server=observe.server(before, after, samples, _name(stage.arm), (began, drained)),
        machine=noise.machine(readings, stage.share),
    )


def _drive(stages: Sequence[_Stage], told: Told) -> list[identity.Entry]:
    """A load of users or of scheduled arrivals for each; who answered in the middle of it."""
    with ExitStack() as until_ended:
        loads = _each(stages, lambda stage: until_ended.enter_context(_driving(stage)))
        told("warming up")
        warm_up_s = _warm_up(loads)
        told("measuring")
        windows, readings = _measure(loads)
        told("draining")
        for one in loads:
            with _naming(one.stage.draft):
                one.driver.stop()
        drained = [_settled(one.stage.serving, one.began, one.driver.sent - _uncounted(one)) for one in loads]
        told("ending")
        for one, window, counted in zip(loads, windows, drained, strict=True):
            one.stage.note(warm_up_s=warm_up_s, machine=noise.machine(readings, one.stage.share))
            _note_window(one, window, counted)
    askings = {id(stage): window.asking for stage, window in zip(stages, windows, strict=True)}
    return _each(stages, lambda stage: askings[id(stage)].answer())


@contextmanager
def _driving(stage: _Stage) -> Iterator[_Driven]:
    began, folder = observe.counts(stage.serving), stage.folder / "load"
    folder.mkdir()
    arm, environment = stage.arm, stage.ground.around.inherited
    with drive.driving(stage.serving.url, arm.request, arm.load, folder, environment) as driver:
        stage.note(commands={**stage.draft.known["commands"], "load": driver.command})
        yield _Driven(stage, driver, began)


def _uncounted(one: _Driven) -> int:
    """Requests that the service's ledger leaves out: those of a victim at /healthz or /about."""
    return one.driver.victim_sent if one.stage.arm.load.victim in paths.UNMEASURED else 0


def _note_window(one: _Driven, window: "_Window", drained: Counts) -> None:
    """What both witnesses say of the window, once the load is drained."""
    stage, driver = one.stage, one.driver
    start, end = window.before.at, window.after.at
    client = drive.client(driver, start, end)
    verified, wrong = _judge_samples(driver)
    stage.note(
        client=replace(client, sent=client.sent - _uncounted(one)),
        slices=drive.slices(driver.answers, start, end, SLICES),
        server=observe.server(window.before, window.after, window.samples, _name(stage.arm), (one.began, drained)),
        verified=stage.draft.known["verified"] + verified,
        wrong_answers=wrong,
    )


def _warm_up(loads: Sequence[_Driven]) -> float:
    """Seconds from the moment at which every load has begun until all are steady; for each at most as long as its
    window, or one response time.
    """
    predicted = [forecast.warm_up_s(one.stage.arm, one.stage.cores) for one in loads]
    first = max(_first_request(loads, one, wait_s) for one, wait_s in zip(loads, predicted, strict=True))
    while True:
        _pause(loads, time.monotonic() + POLL_SECONDS)
        now = time.monotonic()
        if all(_is_warm(one, wait_s, first, now) for one, wait_s in zip(loads, predicted, strict=True)):
            return now - first


def _is_warm(one: _Driven, predicted_s: float, first: float, now: float) -> bool:
    """Whether a load that began at `first` is steady, or had the time to be."""
    answers_, load = one.driver.answers, one.stage.arm.load
    least_s = steady.least_s(predicted_s, answers_)
    return now - first >= max(least_s, load.seconds) or steady.is_warm(answers_, load, first, least_s, now)


def _first_request(loads: Sequence[_Driven], one: _Driven, predicted_s: float) -> float:
    """When the load began (monotonic seconds), known once the first answer is there."""
    until = time.monotonic() + FIRST_ANSWER_SECONDS + predicted_s
    while not one.driver.answers:
        _pause(loads, time.monotonic() + POLL_SECONDS)
        _require("nothing was answered" if time.monotonic() > until else "")
    return min(answer.intended for answer in one.driver.answers)


@dataclass(frozen=True)
class _Window:
    """What the runner saw of a service in the measured time."""

    before: Look
    after: Look
    samples: Samples
    asking: Asking


def _measure(loads: Sequence[_Driven]) -> tuple[list[_Window], list[Reading]]:
    """Look at every service at both ends of the window, and at the machine once a slice."""
    stages = [one.stage for one in loads]
    seconds, services = stages[0].arm.load.seconds, [stage.serving for stage in stages]
    ticks = max(SLICES, math.ceil(seconds))
    before, samples = [observe.look(serving) for serving in services], [Samples() for _ in services]
    began, readings = before[0].at, [stages[0].read_noise()]
    for tick in range(1, ticks):
        _pause(loads, began + tick * seconds / ticks)
        readings.append(stages[0].read_noise())
        for serving, taken in zip(services, samples, strict=True):
            taken.take(serving, last=False)
        if tick == ticks // 2:
            asking = [Asking(serving) for serving in services]
    _pause(loads, began + seconds)
    after = [observe.look(serving) for serving in services]
    readings.append(stages[0].read_noise())
    for serving, taken in zip(services, samples, strict=True):
        taken.take(serving, last=True)
    return [_Window(*seen) for seen in zip(before, after, samples, asking, strict=True)], readings


def _judge_samples(driver: drive.Driver) -> tuple[int, tuple[str, ...]]:
    """How many answers of the load were compared with the contract, and what was wrong; errors are another rule's."""
    found = [
        answers.fault(*sample)
        for sample in driver.samples
        if sample.request not in paths.UNMEASURED and (sample.status == 200 or answers.fails_as_printed(sample.request))
    ]
    return len(found), tuple(dict.fromkeys(filter(None, found)))


def _settled(serving: Serving, began: Counts, sent: int) -> Counts:
    """The ledger once it has counted all that was sent, or has had time enough to."""
    until = time.monotonic() + SETTLE_SECONDS
    while True:
        now = observe.counts(serving)
        is_whole = now.unfinished == began.unfinished and now.completed + now.failed - began.completed >= sent
        if is_whole or time.monotonic() > until:
            return now
        time.sleep(POLL_SECONDS / 4)


def _pause(loads: Sequence[_Driven], until: float) -> None:
    """Wait, and notice at once when a service or a generator has gone."""
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
        for one in loads:
            with _naming(one.stage.draft):
                _require(one.stage.serving.ailment)
                _require("" if one.driver.alive else "the load generator ended in the middle of its load")


def _require(ailment: str) -> None:
    if ailment:
        raise LabError(ailment)


def _each(stages: Sequence[_Stage], step: Callable[[_Stage], Found]) -> list[Found]:
    """One step of every trial, in turn."""
    found = []
    for stage in stages:
        with _naming(stage.draft):
            found.append(step(stage))
    return found


@contextmanager
def _naming(draft: Draft) -> Iterator[None]:
    """A fault of one trial of a duet ends them all: it says whose it is."""
    try:
        yield
    except (LabError, OSError) as error:
        if not draft.planned.beside:
            raise
        told = error.message if isinstance(error, LabError) else str(error)
        raise LabError(f"{draft.planned.arm.name}: {told}") from error


@contextmanager
def _blaming(stages: Sequence[_Stage], ailment: Callable[[], str]) -> Iterator[None]:
    """A service or dependency that has ended is the reason of whatever failed for want of it."""
    try:
        yield
    except (LabError, OSError) as error:
        _require(ailment())
        for stage in stages:
            with _naming(stage.draft):
                _require(stage.serving.ailment)
        raise LabError(error.message if isinstance(error, LabError) else str(error)) from error


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
