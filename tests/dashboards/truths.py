"""What the test itself knows about a phase, in the form in which a panel shows it: who -> figure.

Rates and percentiles are taken over the same windows as the panel's, each ending at one of the phase's moments, and
then averaged. What Prometheus knows of a window of 8 s ends with its last scrape, up to 2 s before, and begins with its
first: single windows are off by what happened in between; under a steady load the average over a phase is not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Any

from tests.dashboards.clients import Request
from tests.dashboards.run import SETTLE_SECONDS, WINDOW_SECONDS, Phase, Run
from waitlab.telemetry.names import REQUEST_BUCKETS

Figures = Mapping[str, Any]  # a number, or two where the test knows bounds and no more
Truth = Callable[[Run, Phase], Figures]
Key = Callable[[Request], str | None]  # whose figure a request belongs to; None: nobody's


def service(request: Request) -> str:
    return request.service


def service_and_worker(request: Request) -> str:
    return f"{request.service} {request.worker}"


def name(request: Request) -> str:
    return f"{request.service} {request.path}"


def failed(request: Request) -> str | None:
    return None if request.ok else request.service


def everyone(run: Run) -> list[Request]:
    """All that the services answered."""
    return run.requests + run.locust


def locust(run: Run) -> list[Request]:
    """All that Locust was answered."""
    return run.locust


def of(requests: Iterable[Request], key: Key, began: float, ended: float) -> dict[str, list[Request]]:
    """Those answered in a stretch of time, by whose they are."""
    found: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        if began < request.ended <= ended and (whose := key(request)):
            found[whose].append(request)
    return found


def windowed(witness: Callable[[Run], list[Request]], key: Key, figure: Callable[[list[Request]], float]) -> Truth:
    """A figure of the requests of each window, averaged over the windows of the phase."""

    def truth(run: Run, phase: Phase) -> Figures:
        figures: dict[str, list[float]] = defaultdict(list)
        for moment in phase.moments:
            for whose, requests in of(witness(run), key, moment - WINDOW_SECONDS, moment).items():
                figures[whose].append(figure(requests))
        return {whose: fmean(values) for whose, values in figures.items() if len(values) == len(phase.moments)}

    return truth


def rate(witness: Callable[[Run], list[Request]], key: Key = service) -> Truth:
    """Answers a second."""
    return windowed(witness, key, lambda requests: len(requests) / WINDOW_SECONDS)


def percentile(q: float, witness: Callable[[Run], list[Request]], key: Key = service) -> Truth:
    """The time that a share q of the answers did not exceed."""
    return windowed(witness, key, lambda requests: quantile(q, [request.seconds for request in requests]))


def in_bucket(q: float, witness: Callable[[Run], list[Request]], key: Key = service, less: float = 0.0) -> Truth:
    """As `percentile`, less a known part, but no finer than the buckets: the bounds of its own."""

    def bound(which: int) -> Truth:
        return windowed(
            witness, key, lambda requests: bucket(quantile(q, [request.seconds for request in requests]) - less)[which]
        )

    return between(bound(0), bound(1))


def queued(q: float) -> Truth:
    """The time in the task queue that a share q of the tasks did not exceed, as each answer told it: its bucket."""

    def bound(which: int) -> Truth:
        return windowed(
            lambda run: [request for request in run.requests if request.queued_seconds is not None],
            service,
            lambda tasks: bucket(quantile(q, [task.queued_seconds or 0.0 for task in tasks]))[which],
        )

    return between(bound(0), bound(1))


def echoes(run: Run, phase: Phase) -> Figures:
    """Messages a second that FastAPI's WebSockets sent back."""
    windows = [(moment - WINDOW_SECONDS, moment) for moment in phase.moments]
    counts = [sum(began < echo <= ended for echo in run.echoes) for began, ended in windows]
    return {"fastapi": fmean(counts) / WINDOW_SECONDS}


def bucket(seconds: float) -> tuple[float, float]:
    """The bounds of the bucket of a time; of both buckets where it lies within 1 % of the bound between them."""
    low = max((bound for bound in (0.0, *REQUEST_BUCKETS) if bound < seconds * 0.99), default=0.0)
    high = min(bound for bound in REQUEST_BUCKETS if bound >= seconds * 1.01)
    return low, high


def quantile(q: float, values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


def less(seconds: float, truth: Truth) -> Truth:
    """A time but for the part of it that was asked for: what was spent in front."""
    return lambda run, phase: {whose: figure - seconds for whose, figure in truth(run, phase).items()}


def only_of(whose: str, truth: Truth) -> Truth:
    """Of one of several lines, when the test knows no more."""
    return lambda run, phase: {whose: truth(run, phase)[whose]}


def average(witness: Callable[[Run], list[Request]]) -> Truth:
    """The mean time of an answer."""
    return windowed(witness, service, lambda requests: fmean(request.seconds for request in requests))


def shares(run: Run, phase: Phase) -> Figures:
    """Each worker's share of its service's answers, where every one came to a client that knows its worker."""
    counts = rate(lambda run: run.requests, service_and_worker)(run, phase)
    sums = rate(lambda run: run.requests)(run, phase)
    return {whose: count / sums[whose.partition(" ")[0]] for whose, count in counts.items()}


def spans(run: Run, phase: Phase) -> Figures:
    """Each sampled request of the test's own clients is two spans: the server's, and that of its one wait."""
    return windowed(
        lambda run: [request for request in run.requests if request.trace_id],
        service,
        lambda requests: 2 * len(requests) / WINDOW_SECONDS,
    )(run, phase)


def between(least: Truth, most: Truth) -> Truth:
    """Two bounds, where the test knows no more."""

    def truth(run: Run, phase: Phase) -> Figures:
        low, high = least(run, phase), most(run, phase)
        return {whose: (low[whose], high[whose]) for whose in low.keys() & high.keys()}

    return truth


def waits(seconds: float) -> Truth:
    """What an answer takes at the least that was asked to wait so long; at the most it is what its client waited."""
    return constant(flask=seconds, fastapi=seconds)


def little(seconds: float) -> Truth:
    """In flight at the least, by Little's law: as many as come a second, times what each of them takes at the least."""
    return windowed(everyone, service, lambda requests: len(requests) / WINDOW_SECONDS * seconds)


def total(figure: float) -> Truth:
    """Of a panel with one line, which is nobody's."""
    return constant(**{"": figure})


def only(whose: str, truth: Truth) -> Truth:
    """Of a panel about one service alone, whose lines do not name it."""
    return lambda run, phase: {"": truth(run, phase)[whose]}


def counted(run: Run, phase: Phase) -> Figures:
    """Locust's answers when Prometheus looked at it last in the phase, and as long after as it may take to tell."""
    (looked,) = run.prometheus.at("max(timestamp(lab_load_requests_total))", phase.moments[-1])
    trial = next(trial for trial in run.trials if trial.began < phase.ended < trial.ended)

    def until(moment: float) -> dict[str, int]:
        found = of(run.locust, name, trial.began - SETTLE_SECONDS, moment)
        return {f"{whose} success": sum(one.ok for one in requests) for whose, requests in found.items()}

    first, latest = until(looked.values[0]), until(looked.values[0] + 0.2)
    return {whose: (first[whose], latest[whose]) for whose in first}


def ledger(run: Run, phase: Phase) -> Figures:
    """All that was ever asked of each service: every request was accepted and completed, whatever its answer."""
    counts = {whose: len(requests) for whose, requests in of(everyone(run), service, 0, phase.ended).items()}
    outcomes = {"accepted": 1, "completed": 1, "failed": 0}
    return {
        f"{whose} {outcome}": count * share for whose, count in counts.items() for outcome, share in outcomes.items()
    }


def since(alert: str) -> Truth:
    """How long the cause of an alert has lasted at the end of its phase."""
    return lambda run, phase: {alert: phase.moments[-1] - phase.began + SETTLE_SECONDS}


def constant(**figures: float) -> Truth:
    """What the phase itself made so."""
    return lambda run, phase: figures
