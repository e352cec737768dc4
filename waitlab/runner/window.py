"""A load and the window that is measured of it: begin, warm up until steady, look, drain, count."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from waitlab import drive as generator
from waitlab import forecast
from waitlab.experiment import paths
from waitlab.runner import identity, noise, steady
from waitlab.runner.identity import Asking
from waitlab.runner.noise import Reading
from waitlab.runner.stage import Stage, Told, each, naming, require

SLICES = 10  # of a window, at least; none longer than a second
POLL_SECONDS = 0.2
FIRST_ANSWER_SECONDS = 30.0  # beyond what the first response takes: the generator's own start is in it
OPENING_SLACK = 3.0  # connections may take so many times what is predicted until all are open


@dataclass(frozen=True)
class _Driven:
    """A stage with its load."""

    stage: Stage
    driver: generator.Driver


@dataclass(frozen=True)
class _Window:
    """The measured time of a service (monotonic seconds), and the question that it was asked in the middle."""

    start: float
    end: float
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
        for one in loads:
            one.stage.witness.settle(one.driver.sent - _uncounted(one))
        told("ending")
        for one, window in zip(loads, windows, strict=True):
            one.stage.note(warm_up_s=warm_up_s, machine=noise.machine(readings, one.stage.share))
            _note_window(one, window)
    askings = {id(stage): window.asking for stage, window in zip(stages, windows, strict=True)}
    return each(stages, lambda stage: askings[id(stage)].answer())


@contextmanager
def _driving(stage: Stage) -> Iterator[_Driven]:
    stage.witness.begin()
    with stage.witness.driving(stage.folder, stage.ready) as driver:
        stage.note(commands={**stage.draft.known["commands"], "load": driver.command})
        yield _Driven(stage, driver)


def _uncounted(one: _Driven) -> int:
    """Requests that the service's ledger leaves out: those of a victim at /healthz or /about."""
    return one.driver.victim_sent if one.stage.arm.load.victim in paths.UNMEASURED else 0


def _note_window(one: _Driven, window: _Window) -> None:
    """What both witnesses say of the window, once the load is drained."""
    stage, driver = one.stage, one.driver
    client = generator.client(driver, window.start, window.end)
    verified, wrong = stage.witness.judge(driver)
    stage.note(
        client=replace(client, sent=client.sent - _uncounted(one)),
        slices=generator.slices(driver.answers, window.start, window.end, SLICES),
        verified=stage.draft.known["verified"] + verified,
        wrong_answers=wrong,
        **stage.witness.told(),
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
    seconds, witnesses = stages[0].arm.load.seconds, [stage.witness for stage in stages]
    ticks = max(SLICES, math.ceil(seconds))
    starts = [witness.look() for witness in witnesses]
    began, readings = starts[0], [stages[0].read_noise()]
    for tick in range(1, ticks):
        _pause(loads, began + tick * seconds / ticks)
        readings.append(stages[0].read_noise())
        for witness in witnesses:
            witness.sample(last=False)
        if tick == ticks // 2:
            asking = [witness.asking() for witness in witnesses]
    _pause(loads, began + seconds)
    ends = [witness.look() for witness in witnesses]
    readings.append(stages[0].read_noise())
    for witness in witnesses:
        witness.sample(last=True)
    return [_Window(*seen) for seen in zip(starts, ends, asking, strict=True)], readings


def _pause(loads: Sequence[_Driven], until: float) -> None:
    """Wait, and notice at once when a service or a generator has gone."""
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(POLL_SECONDS, left))
        for one in loads:
            with naming(one.stage.draft):
                require(one.stage.witness.ailment)
                require("" if one.driver.alive else "the load generator ended in the middle of its load")
