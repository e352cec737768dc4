"""When a load has warmed up: after one predicted response time, and once throughput and response time are steady."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from math import inf
from statistics import fmean

from waitlab import statistics
from waitlab.drive import Answer
from waitlab.experiment import Load
from waitlab.rules import DRIFT_LIMIT, WARM_UP_S

SLICES = 100  # MSER-5 takes 80 at least
RECENT = 20  # answers that tell what a response time is now
LOOK_SECONDS = 1.0
FEWEST = 5  # answers without which nothing can be said
ORDER_SECONDS = 1.0  # several processes write answers down: by so much they may be out of order


def least_s(predicted_s: float, answers: Sequence[Answer]) -> float:
    """The shortest warm-up: as predicted, or one response time as it is, where the service is slower than that."""
    recent = [answer.response_s for answer in _main(answers[-2 * RECENT :])][-RECENT:]
    return max(predicted_s, fmean(recent)) if recent else predicted_s


def are_held(held: Sequence[tuple[float, int]], users: int, now: float) -> bool:
    """Whether every user has opened the connection that it holds, the last one as long ago as a warm-up takes.

    `held` are the moments at which one more (+1) or one less (-1) was held: also who has lost it has been there.
    """
    opened = [moment for moment, change in held if change > 0]
    return len(opened) >= users and now - opened[users - 1] >= WARM_UP_S


def is_warm(answers: Sequence[Answer], load: Load, first: float, least: float, now: float) -> bool:
    """Whether a load that began at `first` has warmed up `least` seconds or more, and is steady since: in what followed
    half of that, where queues may still have grown, or in what followed all of it, once that is enough to look at.

    A closed loop is not warm before there were as many answers as there are users: that takes N / X, whatever X is.
    """
    open_loop = load.rate > 0
    if now - first < least or sum(1 for _ in _main(answers)) < load.users:
        return False
    later = now - first - least >= max(LOOK_SECONDS, least / 4)
    begins = [first + least / 2, *([first + least] if later else [])]
    return any(is_steady(answers, since, now, open_loop) for since in begins)


def is_steady(answers: Sequence[Answer], since: float, now: float, open_loop: bool) -> bool:
    """Whether throughput and response time are steady, by what ended between `since` and `now`.

    In an open loop response time may grow for ever: there throughput alone must be steady.
    """
    ended = sorted((answer.ended, answer.response_s) for answer in _since(answers, since) if answer.ended < now)
    if len(ended) < FEWEST:
        return False
    series = [_rates([moment for moment, _ in ended])]
    if not open_loop:
        series.append(_response_times(ended))
    return all(map(_is_steady, series))


def _is_steady(values: Sequence[float]) -> bool:
    """Whether MSER-5 finds the beginning of steadiness in the first half; or there is no drift that would matter."""
    drift = statistics.drift(values)
    small = drift is not None and abs(drift.share) <= DRIFT_LIMIT
    return small or statistics.mser5(values) is not None


def _since(answers: Sequence[Answer], since: float) -> Iterator[Answer]:
    for answer in _main(reversed(answers)):
        if answer.ended < since - ORDER_SECONDS:
            return
        if answer.ended >= since:
            yield answer


def _main(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Without those of a victim and of the background."""
    return (answer for answer in answers if answer.measured)


def _edges(first: float, last: float) -> list[float]:
    return [first + (last - first) * place / SLICES for place in range(SLICES + 1)]


def _rates(ended: Sequence[float]) -> list[float]:
    """Answers in each slice, from the first answer to the last. One that spans two slices is shared by them: counts of
    less than one a slice would be noise alone.
    """
    counted = [_counted(ended, moment) for moment in _edges(ended[0], ended[-1])]
    return [later - earlier for earlier, later in pairwise(counted)]


def _counted(ended: Sequence[float], moment: float) -> float:
    """How many answers there were until then, the part of the next one's time that has passed with them."""
    place = bisect_right(ended, moment)
    if place >= len(ended):
        return float(len(ended))
    gap = ended[place] - ended[place - 1]
    return place + ((moment - ended[place - 1]) / gap if gap > 0 else 0.0)


def _response_times(ended: Sequence[tuple[float, float]]) -> list[float]:
    """The mean of each slice; one without answers has what the one before it had."""
    edges, last, found, place = _edges(ended[0][0], ended[-1][0])[1:], ended[0][1], [], 0
    for edge in edges:
        beyond = bisect_right(ended, (edge, inf))
        if beyond > place:
            last = fmean(response_s for _, response_s in ended[place:beyond])
        place = beyond
        found.append(last)
    return found
