"""The table of rules that a trial must keep before a figure of it is believed, and which quantities each can void.

What cannot be computed is void and never a pass. Where the limits come from: docs/validity.md.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from waitlab import rules
from waitlab.experiment import Load, Prediction
from waitlab.rules import BEYOND_DOUBT, CORES, CPU, LATENCY, PERCENTILES, SCALING, THROUGHPUT, Seen, Verdict
from waitlab.trial import Trial

EVERYTHING = "everything"
# What a figure is held against: something of another time; a partner in duet; figures of the same trial; a bound.
Against = Literal["apart", "in duet", "in step", "to a bound"]
SKIPPED = Seen("skip", "says nothing of a few single requests sent at once")
HELD = Seen("skip", "says nothing of users who hold their connections: they do not ask and get answers again and again")


@dataclass(frozen=True)
class Finding:
    """What one rule says of one trial. `voids`: the kinds of quantity it takes away, none unless it is void."""

    rule: str
    title: str
    figure: float | None
    limit: float | None
    verdict: Verdict
    voids: frozenset[str]
    says: str


@dataclass(frozen=True)
class Rule:
    """One row of the table. Whether it makes sense where a few single requests are sent at once (`singles`), and where
    users hold their connections (`held`).
    """

    name: str
    title: str
    voids: frozenset[str]
    check: Callable[[Trial, Load], Seen]
    singles: bool = True
    held: bool = True


def findings(trial: Trial, load: Load) -> tuple[Finding, ...]:
    """What every rule says of `trial`, in the order of RULES."""
    return tuple(_found(rule, trial, load) for rule in RULES)


def held_against(prediction: Prediction, duet: bool) -> Against:
    """What a prediction holds its arm against, where it ran in `duet` or alone."""
    if duet:
        return "in duet"
    bounded = prediction.at_least is not None or prediction.at_most is not None
    return "in step" if prediction.in_step else "to a bound" if bounded else "apart"


def voided(found: Iterable[Finding], quantity: str, against: Against = "apart") -> tuple[Finding, ...]:
    """The findings that take `quantity` away; none when it may be judged, to a bound with rules.doubt."""
    return tuple(finding for finding in found if _voids(finding, quantity, against))


def taken(found: Sequence[Finding], prediction: Prediction, arm: str, duet: bool) -> dict[str, tuple[Finding, ...]]:
    """Each quantity that a prediction needs of an arm's trial and cannot have, with the findings that take it away."""
    against = held_against(prediction, duet)
    voids = {name: voided(found, name, against) for name in prediction.quantities_of(arm)}
    return {name: those for name, those in voids.items() if those}


def _voids(finding: Finding, quantity: str, against: Against) -> bool:
    if finding.verdict != "void" or OWN_FIGURE.get(finding.rule) == quantity:
        return False
    touched = kinds(quantity)
    if finding.rule == OF_NOISE and touched is not None:
        if against == "in duet":
            return False
        if against == "in step" and CORES not in finding.voids:
            return False
        if against == "to a bound" and not touched & _CORES and BEYOND_DOUBT not in finding.voids:
            return False
    if touched is None:
        return finding.rule != OF_PERCENTILES
    return EVERYTHING in finding.voids or bool(finding.voids & touched)


def kinds(quantity: str) -> frozenset[str] | None:
    """What kinds a quantity is of, so which rules touch it; None for an experiment's own: all but G10 touch it."""
    of = next((f"{kind} " for kind in COUNTED_APART if quantity.startswith(f"{kind}_")), "")
    percentiles = {of + word for word in quantity.split("_") if word in PERCENTILES}
    return KINDS[quantity] | percentiles if quantity in KINDS else None


def _found(rule: Rule, trial: Trial, load: Load) -> Finding:
    try:
        skipped = SKIPPED if load.concurrent and not rule.singles else HELD if load.holds and not rule.held else None
        seen = skipped or rule.check(trial, load)
        if seen.figure is not None and not math.isfinite(seen.figure):
            raise rules.Missing("its figure is not a number")
    except rules.Missing as missing:
        seen = Seen("void", f"cannot be computed: {missing}")
    voids = (rule.voids if seen.voids is None else seen.voids) if seen.verdict == "void" else frozenset()
    return Finding(rule.name, rule.title, seen.figure, seen.limit, seen.verdict, voids, seen.says)


BOTH = frozenset({THROUGHPUT, LATENCY})
ALL = frozenset({EVERYTHING})
_PLAIN: frozenset[str] = frozenset()  # touched only by what voids everything
_LATENCY = frozenset({LATENCY})
_CPU = frozenset({CPU})
_CORES = frozenset({CORES})
COMPUTING = _CPU | _CORES

# Each quantity of waitlab.quantities; a percentile in its name is found by kinds().
KINDS: Mapping[str, frozenset[str]] = {
    "throughput_rps": frozenset({THROUGHPUT}),
    "mean_ms": _LATENCY,
    "p50_ms": _LATENCY,
    "p95_ms": _LATENCY,
    "p99_ms": _LATENCY,
    "max_ms": _LATENCY,
    "response_growth": _LATENCY,
    "error_ratio": _PLAIN,
    "victim_mean_ms": _LATENCY,
    "victim_p50_ms": _LATENCY,
    "victim_p95_ms": _LATENCY,
    "victim_p99_ms": _LATENCY,
    "victim_max_ms": _LATENCY,
    "connections_held": _PLAIN,
    "kb_per_connection": _PLAIN,
    "first_event_ms": _LATENCY,
    "event_gap_p95_ms": _LATENCY,
    "round_trip_p95_ms": _LATENCY,
    "messages_per_s": frozenset({THROUGHPUT}),
    "first_finish_ms": _LATENCY,
    "last_finish_ms": _LATENCY,
    "mean_finish_ms": _LATENCY,
    "finish_spread_ms": _LATENCY,
    "server_mean_ms": _LATENCY,
    "server_p95_ms": _LATENCY,
    "queue_mean_ms": _LATENCY,
    "pool_wait_p95_ms": _LATENCY,
    "task_queue_mean_ms": _LATENCY,
    "loop_lag_max_ms": _LATENCY,
    "accept_queue_max": _LATENCY,
    "cpu_ms_per_request": _CPU,
    "cores_used": _CORES,
    "cores_used_per_worker_max": _CORES,
    "threads_per_worker": _PLAIN,
    "pss_mb": _PLAIN,
    "pss_mb_per_worker": _PLAIN,
    "switches_voluntary_per_request": _PLAIN,
    "switches_involuntary_per_request": _PLAIN,
    "busiest_share": _PLAIN,
    "in_flight": BOTH,
    "waiting_ratio": _CORES,
    "generator_cpu_ratio": _PLAIN,
    "little_gap_ratio": _PLAIN,
    "uncounted": _PLAIN,
}
# What is counted apart from the load's own answers where a percentile needs so many of them.
COUNTED_APART = ("victim", *(kind for kinds_ in rules.EVENTS.values() for kind in kinds_))
OF_PERCENTILES = "G10"  # hardly a trial has the answers for every percentile, and an own quantity is none of them
OWN_FIGURE = {"G2": "uncounted"}  # a rule cannot take away the quantity that it looks at itself
# Noise meets both of a duet alike, so that their ratio has none of it; what does not cancel out spreads the ratios. Of
# one trial's answers and their CPU it slows both, and only cores that the service did not get are in the one alone. A
# bound that is far away bears it: the interval is widened by as much as the noise may have done.
OF_NOISE = "G7"
# The machine's doing, which may be over in a minute. A wrong answer or a wrong count is the service's, and stays.
MENDABLE = frozenset({"G3", "G4", "G5", "G7", "G9"})

RULES = (
    Rule("G0", "the service that was started answers", ALL, rules.identity),
    Rule("G1", "answers are as the contract says", ALL, rules.answers),
    Rule("G2", "clients and service count the same", ALL, rules.accounting),
    Rule("G3", "Little's law: the generator keeps up", BOTH, rules.littles_law, singles=False, held=False),
    Rule("G4", "the generator has CPU to spare", BOTH, rules.generator, singles=False),
    Rule("G5", "queue time explains how the witnesses differ", _LATENCY, rules.witnesses, singles=False, held=False),
    Rule(
        "G6", "not more than physics allows", frozenset({THROUGHPUT, *COMPUTING, SCALING}), rules.physics, singles=False
    ),
    Rule("G7", "the machine is quiet", frozenset({*COMPUTING, THROUGHPUT, LATENCY}), rules.noise),
    Rule("G8", "the clocks agree", frozenset(), rules.clocks),
    Rule("G9", "warmed up and steady", BOTH, rules.steadiness, singles=False),
    Rule("G10", "enough answers for a percentile", frozenset(PERCENTILES), rules.samples),
    Rule("G11", "few errors", BOTH, rules.errors),
)
