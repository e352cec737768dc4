"""What a run will take, said before it is run: response times, warm-ups, seconds, and where a load does not fit.

Coarse on purpose: a round of `burn` counts as its nominal millisecond, and what a law cannot tell as `UNKNOWN_S`. No
verdict rests on it.
"""

import math
from collections.abc import Iterator, Sequence

from waitlab import capacity, configuration, laws, statistics
from waitlab.case import Case
from waitlab.errors import LabError
from waitlab.experiment import VICTIM_RATE, Arm, Experiment
from waitlab.quantities import QUANTITIES
from waitlab.rules import PERCENTILES, WARM_UP_S

CORES = 1.0  # of a service on two, where no machine is asked
ROUND_S = 0.001
UNKNOWN_S = 1.0
OVERHEAD_S = 0.002  # of a request beside its waits: without any it would be answered in no time
FAR_OVER = 1.5  # windows: over capacity the warm-up grows with the window, so that no longer one would help
CONNECTIONS = 500  # of one schedule: a test holds it equal to that of locustfiles/stream.py
START_S, START_A_WORKER_S = 1.5, 0.15  # from the command to an application that answers
OPENING_S = 0.002  # for a connection that a user opens and holds
AROUND_S = 2.5  # identity and answers, looks at both witnesses, the end of the service


def minutes(seconds: float) -> str:
    """A length as a person plans with it."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def response_s(arm: Arm, cores: float) -> float:
    """How long the arm's requests take once its load is there; of single requests, the last one; where users hold
    connections, until all are open.
    """
    if arm.load.holds:
        return arm.load.users * OPENING_S
    try:
        case = configuration.case(arm, cores)
        cpu_s = _cpu_s(case)
        if case.concurrent:
            return laws.finish_s(case, case.concurrent) + case.concurrent * cpu_s / capacity.computing(case)
        rate = _most_per_s(case, cpu_s)
        if case.rate:
            return case.wait_s + cpu_s + max(0.0, case.rate / rate - 1) * arm.load.seconds
        return max(case.wait_s + cpu_s, case.users / rate - case.think_s)
    except LabError:
        return UNKNOWN_S


def warm_up_s(arm: Arm, cores: float) -> float:
    """The shortest warm-up that the rules allow; single requests have none."""
    return 0.0 if arm.load.concurrent else max(WARM_UP_S, response_s(arm, cores))


def cores_of(turn: Sequence[Arm], cores: float) -> float:
    """What each service of a turn has: in duet its part of one core."""
    return 1 / len(turn) if len(turn) > 1 else cores


def turn_s(turn: Sequence[Arm], cores: float) -> float:
    """One trial, or those of a duet at once, from nothing to nothing: they start and end in turn, and wait together."""
    each = cores_of(turn, cores)
    start = sum(configuration.replicas(arm) * _start_s(arm) for arm in turn)
    window = 0.0 if turn[0].load.concurrent else turn[0].load.seconds
    waits = max(warm_up_s(arm, each) + _drain_s(arm, each) for arm in turn)
    return start + waits + window + AROUND_S * len(turn)


def _start_s(arm: Arm) -> float:
    return START_S + START_A_WORKER_S * int(arm.knobs.get("workers", 2))


def _drain_s(arm: Arm, cores: float) -> float:
    """Until the last answer is there, also of what runs in the background."""
    return max(response_s(one, cores) for one in (arm, *arm.background))


def run_s(experiment: Experiment, cores: float) -> float:
    """All repeats of all arms, one turn after the other."""
    return sum(turn[0].load.repeats * turn_s(turn, cores) for turn in experiment.turns)


def warnings(experiment: Experiment, cores: float) -> Iterator[str]:
    """What a reader should know before so much time is spent."""
    if experiment.needs:
        yield f"it needs {experiment.needs}"
    for arm, each in ((arm, cores_of(turn, cores)) for turn in experiment.turns for arm in turn):
        yield from _warm_up(arm, each)
        yield from _connections(arm, each)
        for quantity in sorted({name for one in experiment.predictions for name in one.quantities_of(arm.name)}):
            yield from _percentile(arm, quantity, each)


def _warm_up(arm: Arm, cores: float) -> Iterator[str]:
    warm_up, load = warm_up_s(arm, cores), arm.load
    outlasts = f"{arm.name}: the warm-up of {warm_up:.0f} s outlasts the {load.seconds:g} s that are measured; "
    if load.users and not load.holds and warm_up > load.seconds:
        fit = "" if arm.is_own else f"{users_that_fit(arm, cores)} users fit, or "
        yield f"{outlasts}{fit}say seconds = {math.ceil(warm_up)}"
    if load.rate and warm_up > FAR_OVER * load.seconds:
        gives = "" if arm.is_own else f"the service gives {given_per_s(arm, cores):.4g} answers a second: "
        yield f"{outlasts}{gives}say a lower rate, or seconds = {math.ceil(warm_up)}"


def _connections(arm: Arm, cores: float) -> Iterator[str]:
    """A schedule has so many connections: what is due beyond them leaves late, which rule G3 voids."""
    if not arm.load.rate:
        return
    waiting = (arm.load.rate - given_per_s(arm, cores)) * (warm_up_s(arm, cores) + arm.load.seconds)
    if waiting > CONNECTIONS:
        yield (
            f"{arm.name}: about {waiting:.0f} requests would wait at the end, and a schedule has {CONNECTIONS} "
            f"connections: say a lower rate, or fewer seconds"
        )


def _percentile(arm: Arm, quantity: str, cores: float) -> Iterator[str]:
    """Ten answers must lie beyond a percentile (rule G10)."""
    q = next((PERCENTILES[word] for word in quantity.split("_") if word in PERCENTILES), None)
    load = arm.load
    if q is None or quantity not in QUANTITIES or QUANTITIES[quantity].witness != "clients" or load.concurrent:
        return
    per_s = VICTIM_RATE if quantity.startswith("victim") else answered_per_s(arm, cores)
    needed = statistics.answers_needed(q)
    if per_s * load.seconds < needed:
        yield (
            f"{arm.name}: about {per_s * load.seconds:.0f} answers in {load.seconds:g} s, and {quantity} needs "
            f"{needed}: say seconds = {math.ceil(needed / per_s)}"
        )


def given_per_s(arm: Arm, cores: float) -> float:
    """What its places and cores give at most; infinite where no law tells."""
    try:
        case = configuration.case(arm, cores)
        return _most_per_s(case, _cpu_s(case))
    except LabError:
        return math.inf


def answered_per_s(arm: Arm, cores: float) -> float:
    """How many answers a second its load is likely to get."""
    if arm.load.rate:
        return min(arm.load.rate, given_per_s(arm, cores))
    return arm.load.users / (response_s(arm, cores) + arm.load.think_ms / 1000 + OVERHEAD_S)


def users_that_fit(arm: Arm, cores: float) -> int:
    """With how many users an answer takes no longer than the window."""
    case = configuration.case(arm, cores)
    return max(1, math.floor((arm.load.seconds + case.think_s) * _most_per_s(case, _cpu_s(case))))


def _most_per_s(case: Case, cpu_s: float) -> float:
    """The answers a second that its places and cores give, whatever is asked for."""
    return min((limit.per_s for limit in capacity.given(case, cpu_s)), default=math.inf)


def _cpu_s(case: Case) -> float:
    rounds = case.parameters.get("rounds", "0")
    computes = case.workload in ("burn", "mixed") or case.parameters.get("of") == "burn"
    times = 2 if case.workload == "gather" else 1
    return times * int(rounds) * ROUND_S if computes and rounds.isdigit() else 0.0
