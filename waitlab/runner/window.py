"""A load and the window that is measured of it: begin, warm up until steady, look, drain, count."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from waitlab import drive as generator
from waitlab import forecast
from waitlab.experiment import paths
from waitlab.runner import answers, identity, noise, observe, steady
from waitlab.runner.identity import Asking
from waitlab.runner.noise import Reading
from waitlab.runner.observe import Counts, Look, Samples
from waitlab.runner.service import Serving
from waitlab.runner.stage import Stage, Told, each, naming, require

SLICES = 10  # of a window, at least; none longer than a second
POLL_SECONDS = 0.2
FIRST_ANSWER_SECONDS = 30.0  # beyond what the first response takes: the generator's own start is in it
OPENING_SLACK = 3.0  # connections may take so many times what is predicted until all are open
SETTLE_SECONDS = 5.0  # an answer is whole for its client before the service has counted it


@dataclass(frozen=True)
class _Driven:
    """A stage with its load."""

    stage: Stage
    driver: generator.Driver
    began: Counts
    pss_bytes: int  # of the workers before it


@dataclass(frozen=True)
class _Window:
    """What the runner saw of a service in the measured time."""

    before: Look
    after: Look
    samples: Samples
    asking: Asking


def drive(stages: Sequence[Stage], told: Told) -> list[identity.Entry]:
    """A load of users or of scheduled arrivals for each; who answered in the middle of it."""
    with ExitStack() as until_ended:
        loads = each(stages, lambda stage: until_ended.enter_context(_driving(stage)))
        told("warming up")
        warm_up_s = _warm_up(loads)
        told("measuring")
        windows, readings = _measure(loads)
        told("draining")
        for one in loads:
            with naming(one.stage.draft):
                one.driver.stop()
        drained = [settled(one.stage.serving, one.began, one.driver.sent - _uncounted(one)) for one in loads]
        told("ending")
        for one, window, counted in zip(loads, windows, drained, strict=True):
            one.stage.note(warm_up_s=warm_up_s, machine=noise.machine(readings, one.stage.share))
            _note_window(one, window, counted)
    askings = {id(stage): window.asking for stage, window in zip(stages, windows, strict=True)}
    return each(stages, lambda stage: askings[id(stage)].answer())


@contextmanager
def _driving(stage: Stage) -> Iterator[_Driven]:
    began, door, environment = observe.counts(stage.serving), stage.serving.door, stage.ground.around.inherited
    request, load = stage.arm.request, stage.arm.load
    pss_bytes = observe.pss_bytes(stage.serving) if load.holds else 0
    with generator.driving(door, request, load, stage.folder, environment, ready=stage.ready) as driver:
        stage.note(commands={**stage.draft.known["commands"], "load": driver.command})
        yield _Driven(stage, driver, began, pss_bytes)


def _uncounted(one: _Driven) -> int:
    """Requests that the service's ledger leaves out: those of a victim at /healthz or /about."""
    return one.driver.victim_sent if one.stage.arm.load.victim in paths.UNMEASURED else 0


def _note_window(one: _Driven, window: _Window, drained: Counts) -> None:
    """What both witnesses say of the window, once the load is drained."""
    stage, driver = one.stage, one.driver
    start, end = window.before.at, window.after.at
    client = generator.client(driver, start, end)
    server = observe.server(window.before, window.after, window.samples, stage.labels, (one.began, drained))
    verified, wrong = _judge_samples(driver)
    stage.note(
        client=replace(client, sent=client.sent - _uncounted(one)),
        slices=generator.slices(driver.answers, start, end, SLICES),
        server=replace(server, pss_before_bytes=one.pss_bytes),
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
    if load.holds:
        longest_s = max(OPENING_SLACK * predicted_s, load.seconds)
        return now - first >= longest_s or steady.are_held(one.driver.held, load.users, now)
    least_s = steady.least_s(predicted_s, answers_)
    return now - first >= max(least_s, load.seconds) or steady.is_warm(answers_, load, first, least_s, now)


def _first_request(loads: Sequence[_Driven], one: _Driven, predicted_s: float) -> float:
    """When the load began (monotonic seconds), known once the first answer is there, or the first connection held."""
    until = time.monotonic() + FIRST_ANSWER_SECONDS + predicted_s
    while not (one.driver.answers or one.driver.held):
        _pause(loads, time.monotonic() + POLL_SECONDS)
        require("nothing was answered" if time.monotonic() > until else "")
    began = [answer.intended for answer in one.driver.answers]
    return min(began + [moment for moment, _ in one.driver.held])


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


def _judge_samples(driver: generator.Driver) -> tuple[int, tuple[str, ...]]:
    """How many answers of the load were compared with the contract, and what was wrong; errors are another rule's."""
    found = [
        answers.fault(*sample)
        for sample in driver.samples
        if sample.request not in paths.UNMEASURED and (sample.status == 200 or answers.fails_as_printed(sample.request))
    ]
    return len(found), tuple(dict.fromkeys(filter(None, found)))


def settled(serving: Serving, began: Counts, sent: int) -> Counts:
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
            with naming(one.stage.draft):
                require(one.stage.serving.ailment)
                require("" if one.driver.alive else "the load generator ended in the middle of its load")
