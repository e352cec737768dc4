"""One trial, step by step: serve, check who answers and what, load, warm up, measure, drain, count, check again."""

import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
SLICES = 10  # of a window, at least; none longer than a second
POLL_SECONDS = 0.2
FIRST_ANSWER_SECONDS = 30.0  # beyond what the first response takes: the generator's own start is in it
SETTLE_SECONDS = 5.0  # an answer is whole for its client before the service has counted it

Told = Callable[[str], None]


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
            ended=how,
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
    told: Told

    def note(self, **found: Any) -> None:
        self.draft.known |= found

    def read_noise(self) -> Reading:
        return noise.read(self.share.usable, self.ground.around.pids)


def run(draft: Draft, ground: Ground, told: Told) -> Trial:
    """The trial that `draft` plans. A fault of the service or around it ends the trial alone, with the reason."""
    arm, around = draft.planned.arm, ground.around
    needs = configuration.dependencies(arm)
    try:
        share = cores.share(ground.usable, arm.knobs.get("cores"))  # type: ignore[arg-type]  # read as a whole number
        _require(around.ailment(needs))
        surroundings.refuse_other_load(around.targets)
        with cores.kept_to(share.generator), _folder(around.folder / f"trial-{draft.planned.order}") as folder:
            told("starting")
            with service.serving(arm, share, around, folder) as serving, _blaming(serving):
                _serve(_Stage(arm, share, ground, serving, folder, draft, told))
                _require(around.ailment(needs))
    except LabError as error:
        return draft.ended(error.message)
    except OSError as error:  # no room or no right where a trial writes
        return draft.ended(str(error))
    trial = draft.ended(MEASURED)
    return replace(trial, measured=measures.measured(ground.functions, trial))


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


def _serve(stage: _Stage) -> None:
    """From a service that serves to one that has been measured."""
    stage.note(service=stage.serving.facts, commands={"service": service.command(stage.arm, stage.share)})
    stage.told("verifying")
    before = checked(stage.serving, stage.arm, stage.draft)
    if stage.arm.load.concurrent:
        _send_singles(stage)
        during = []
    else:
        during = [_drive(stage)]
    stage.note(identity=(before, *during, identity.ask(stage.serving)))


def _send_singles(stage: _Stage) -> None:
    """A few requests at once, each on a connection of its own."""
    serving, count = stage.serving, stage.arm.load.concurrent
    began, before, readings = observe.counts(serving), observe.look(serving), [stage.read_noise()]
    stage.told("measuring")
    sent = singles.send(serving, stage.arm.request, count)
    after = observe.look(serving)
    readings.append(stage.read_noise())
    samples = Samples()
    samples.take(serving, last=True)
    drained = _settled(serving, began, count)
    stage.told("ending")
    stage.note(
        singles=sent.requests,
        client=sent.client,
        server=observe.server(before, after, samples, _name(stage.arm), (began, drained)),
        machine=noise.machine(readings, stage.share),
    )


def _drive(stage: _Stage) -> identity.Entry:
    """A load of users or of scheduled arrivals; who answered in the middle of it."""
    serving, load = stage.serving, stage.arm.load
    began, folder = observe.counts(serving), stage.folder / "load"
    folder.mkdir()
    with drive.driving(serving.url, stage.arm.request, load, folder, stage.ground.around.inherited) as driver:
        stage.note(commands={**stage.draft.known["commands"], "load": driver.command})
        stage.told("warming up")
        warm_up_s = _warm_up(stage, driver)
        stage.told("measuring")
        window = _measure(stage, driver)
        stage.told("draining")
        driver.stop()
        uncounted = driver.victim_sent if load.victim in paths.UNMEASURED else 0
        drained = _settled(serving, began, driver.sent - uncounted)
        stage.told("ending")
        start, end = window.before.at, window.after.at
        client = drive.client(driver, start, end)
        verified, wrong = _judge_samples(driver)
        stage.note(
            warm_up_s=warm_up_s,
            client=replace(client, sent=client.sent - uncounted),
            slices=drive.slices(driver.answers, start, end, SLICES),
            server=observe.server(window.before, window.after, window.samples, _name(stage.arm), (began, drained)),
            machine=noise.machine(window.readings, stage.share),
            verified=stage.draft.known["verified"] + verified,
            wrong_answers=wrong,
        )
    return window.asking.answer()


def _warm_up(stage: _Stage, driver: drive.Driver) -> float:
    """Seconds from the first request until the load is steady; at most the window's, or one response time."""
    load = stage.arm.load
    predicted_s = forecast.warm_up_s(stage.arm, len(stage.share.service))
    first = _first_request(stage, driver, predicted_s)
    while True:
        _pause(stage, driver, time.monotonic() + POLL_SECONDS)
        now, answered = time.monotonic(), driver.answers
        least_s = steady.least_s(predicted_s, answered)
        if now - first >= max(least_s, load.seconds):
            return now - first
        if steady.is_warm(answered, load, first, least_s, now):
            return now - first


def _first_request(stage: _Stage, driver: drive.Driver, predicted_s: float) -> float:
    """When the load began (monotonic seconds), known once the first answer is there."""
    until = time.monotonic() + FIRST_ANSWER_SECONDS + predicted_s
    while not driver.answers:
        _pause(stage, driver, time.monotonic() + POLL_SECONDS)
        _require("nothing was answered" if time.monotonic() > until else "")
    return min(answer.intended for answer in driver.answers)


@dataclass(frozen=True)
class _Window:
    """What the runner saw of the measured time."""

    before: Look
    after: Look
    samples: Samples
    readings: list[Reading]
    asking: Asking


def _measure(stage: _Stage, driver: drive.Driver) -> _Window:
    """Look at the service at both ends of the window, and at the machine once a slice."""
    seconds, serving = stage.arm.load.seconds, stage.serving
    ticks = max(SLICES, math.ceil(seconds))
    before, samples = observe.look(serving), Samples()
    readings = [stage.read_noise()]
    for tick in range(1, ticks):
        _pause(stage, driver, before.at + tick * seconds / ticks)
        readings.append(stage.read_noise())
        samples.take(serving, last=False)
        if tick == ticks // 2:
            asking = Asking(serving)
    _pause(stage, driver, before.at + seconds)
    after = observe.look(serving)
    readings.append(stage.read_noise())
    samples.take(serving, last=True)
    return _Window(before, after, samples, readings, asking)


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


def _pause(stage: _Stage, driver: drive.Driver, until: float) -> None:
    """Wait, and notice at once when the service or the generator has gone."""
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
        _require(stage.serving.ailment)
        _require("" if driver.alive else "the load generator ended in the middle of its load")


def _require(ailment: str) -> None:
    if ailment:
        raise LabError(ailment)


@contextmanager
def _blaming(serving: Serving) -> Iterator[None]:
    """A service that has ended is the reason of whatever failed for want of it."""
    try:
        yield
    except (LabError, OSError) as error:
        told = error.message if isinstance(error, LabError) else str(error)
        raise LabError(serving.ailment or told) from error


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
