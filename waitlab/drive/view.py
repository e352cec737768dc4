"""Witness 1: what clients waited in the measured window, from the recording of every request."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean

from waitlab.drive.driver import Driver
from waitlab.drive.record import Answer, Kind, Recording
from waitlab.trial import Client, Slice


def client(driver: Driver, start: float, end: float) -> Client:
    """The window from `start` to `end`, in CLOCK_MONOTONIC seconds: what was answered in it. After the driver's `stop`.

    Of a closed loop, `accounted_s` is what Little's law has to explain: see `accounted_s`.
    """
    recording, load = driver.recording, driver.load
    answered = [answer for answer in recording.answers if start <= answer.ended < end]
    main = [answer for answer in answered if answer.measured]
    beside = [answer for answer in answered if answer.background]
    victims = [answer for answer in answered if answer.victim] if not load.holds else _due(recording, start, end)
    sampled = [count for moment, count in recording.in_flight if start <= moment < end]
    return Client(
        users=load.users,
        seconds=end - start,
        counted=len(main),
        failures=sum(answer.failed for answer in main),
        sent=len(recording.answers),
        think_s=fmean(answer.rest for answer in main) if main and load.users else 0.0,
        cpu_ratio=max((_cpu_ratio(beats, start, end) for beats in recording.beats.values()), default=0.0),
        response_us=histogram(main),
        late_p99_s=_p99([answer.late_s for answer in main]),
        late_mean_s=fmean(answer.late_s for answer in main) if main else None,
        unsent=sum(start <= moment < end for moment in recording.unsent),
        unanswered=sum(answer.unanswered for answer in recording.answers),
        in_flight=fmean(sampled) if sampled else None,
        victim_us=histogram(answer for answer in victims if not answer.failed),
        victim_failures=sum(answer.failed for answer in victims),
        background_counted=len(beside),
        background_failures=sum(answer.failed for answer in beside),
        accounted_s=accounted_s(recording, start, end) if load.users and not load.holds else None,
        connections_held=fewest_held(recording.held, start, end) if load.holds else None,
        first_event_us=_events(recording, Kind.FIRST_EVENT, start, end),
        event_gap_us=_events(recording, Kind.EVENT_GAP, start, end),
        round_trip_us=_events(recording, Kind.ROUND_TRIP, start, end),
    )


def _due(recording: Recording, start: float, end: float) -> list[Answer]:
    """The victim's requests that were due in the window: where users hold what it needs, it may get no answer in it."""
    return [answer for answer in recording.answers if answer.victim and start <= answer.intended < end]


def _events(recording: Recording, kind: Kind, start: float, end: float) -> dict[int, int]:
    return rounded(seconds for moment, seconds in recording.events.get(kind, ()) if start <= moment < end)


def fewest_held(changes: Iterable[tuple[float, int]], start: float, end: float) -> int:
    """How many connections were held at the moment of the window at which they were fewest."""
    held, fewest = 0, None
    for moment, change in sorted(changes):
        if moment >= end:
            break
        if moment > start and fewest is None:
            fewest = held
        held += change
        fewest = fewest if fewest is None else min(fewest, held)
    return held if fewest is None else fewest


def accounted_s(recording: Recording, start: float, end: float) -> float:
    """The users' seconds in the window in which a request of theirs was on its way or they rested.

    Each request and rest counts with what lies inside the window, so that long or bursty answers at its ends leave no
    remainder, as they do in X (R + Z). The time from the moment a request was due to when it left is in neither: it is
    what a busy generator takes from its users, and an answer that waits to be read waits for the same turn of its loop.
    """
    main = [answer for answer in recording.answers if answer.measured]
    spans = [(answer.sent, answer.ended) for answer in main]
    spans += [(answer.intended - answer.rest, answer.intended) for answer in main]
    spans += [(intended - rest, intended) for intended, rest in recording.left]
    return sum(max(0.0, min(last, end) - max(first, start)) for first, last in spans)


def histogram(answers: Iterable[Answer]) -> dict[int, int]:
    """Response time in microseconds, to three significant digits -> how many."""
    return rounded(answer.response_s for answer in answers)


def rounded(times_s: Iterable[float]) -> dict[int, int]:
    """Times in microseconds, to three significant digits -> how many."""
    found = Counter(int(float(f"{seconds * 1e6:.3g}")) for seconds in times_s)
    return dict(sorted(found.items()))


def slices(answers: Iterable[Answer], start: float, end: float, count: int) -> tuple[Slice, ...]:
    """The window in so many equal slices: what was answered in each, and how fast. What runs beside it is left out."""
    seconds = (end - start) / count
    found: list[list[float]] = [[] for _ in range(count)]
    for answer in answers:
        if start <= answer.ended < end and answer.measured:
            found[min(count - 1, int((answer.ended - start) / seconds))].append(answer.response_s)
    return tuple(
        Slice(number * seconds, seconds, len(times), fmean(times) if times else 0.0)
        for number, times in enumerate(found)
    )


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else 0.0


def _cpu_ratio(beats: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """The share of a core that a process used in the window, by its nearest beats before both ends."""
    first = max((beat for beat in beats if beat[0] <= start), default=beats[0])
    last = max((beat for beat in beats if beat[0] <= end), default=beats[0])
    return (last[1] - first[1]) / (last[0] - first[0]) if last[0] > first[0] else 0.0
