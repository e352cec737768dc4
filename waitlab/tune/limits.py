"""What a setting achieved, what limits it, what would next, how much room there is, and why not 2 x cores + 1."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from waitlab import statistics
from waitlab.capacity import figure
from waitlab.target.observation import Observation
from waitlab.target.settings import Setting
from waitlab.tune.doubts import disturbed, is_driven_out
from waitlab.tune.objective import PRACTICALLY, misses
from waitlab.tune.predicted import LOAD, Bound, Predicted, predict
from waitlab.tune.search import Knowledge

UNEXPLAINED = 0.8  # of the tightest bound: what gives less is limited by something that no law here names
GENERATOR = "load generator"
UNNAMED = "something that the laws do not name"
OTHERS = "other programs on this machine"
DISTURBED = 0.2  # of all CPU in other hands: enough to explain what is missing


@dataclass(frozen=True)
class Achieved:
    """What the windows of one setting came to: means of them, memory at its most. `low`, `high`: throughput, of the
    windows' 95 % interval; None of a single one.
    """

    windows: int
    throughput_rps: float
    low: float | None
    high: float | None
    error_ratio: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_ms_per_request: float | None
    cores_used: float | None
    pss_mb: float | None
    accept_queue_max: int | None


@dataclass(frozen=True)
class Limits:
    """What limits a setting and what would next, each with its formula. `evidence`: the figures that say so."""

    binding: Bound
    following: Bound | None
    evidence: tuple[str, ...]


def achieved(seen: Sequence[Observation]) -> Achieved:
    """At least one window of a setting as one."""
    rates = [one.throughput_rps for one in seen]
    low, high = _interval(rates)
    return Achieved(
        windows=len(seen),
        throughput_rps=fmean(rates),
        low=low,
        high=high,
        error_ratio=max(one.error_ratio for one in seen),
        mean_ms=fmean(one.mean_ms for one in seen),
        p50_ms=fmean(one.p50_ms for one in seen),
        p95_ms=fmean(one.p95_ms for one in seen),
        p99_ms=fmean(one.p99_ms for one in seen),
        cpu_ms_per_request=_mean(one.cpu_ms_per_request for one in seen),
        cores_used=_mean(one.cores_used for one in seen),
        pss_mb=max((one.pss_mb for one in seen if one.pss_mb is not None), default=None),
        accept_queue_max=max((one.accept_queue_max for one in seen if one.accept_queue_max is not None), default=None),
    )


def _interval(rates: Sequence[float]) -> tuple[float | None, float | None]:
    return statistics.estimate(rates).interval() if len(rates) > 1 else (None, None)


def _mean(values: Iterator[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


def limits(setting: Setting, known: Knowledge, predicted: Predicted) -> Limits:
    """The tightest bound, unless the generator was, or what was achieved is far below every bound."""
    seen = known.seen[setting]
    found, evidence = achieved(seen), tuple(_evidence(achieved(seen), known.cores))
    of_service = [bound for bound in predicted.bounds if bound.name not in LOAD]
    named = of_service if known.objective.rate else list(predicted.bounds)
    carries = known.objective.rate and not misses(known.objective, seen)
    if all(map(is_driven_out, seen)) and not carries:  # what carries all that came is not held back by who sent it
        text = "it had no CPU to spare, so that the service may give more than was measured"
        return Limits(Bound(GENERATOR, found.throughput_rps, text), named[0] if named else None, evidence)
    short = not known.objective.rate and named and found.throughput_rps < UNEXPLAINED * named[0].per_s
    if short and disturbed(seen) > DISTURBED:
        text = f"they and the host had {disturbed(seen):.0%} of the CPU: measure when they rest"
        return Limits(Bound(OTHERS, found.throughput_rps, text), named[0], evidence)
    if not named:
        return Limits(Bound(UNNAMED, found.throughput_rps, "no limit was reached"), None, evidence)
    if short:
        return Limits(_unnamed(found, predicted), named[0], evidence)
    return Limits(named[0], named[1] if len(named) > 1 else None, evidence)


def _unnamed(found: Achieved, predicted: Predicted) -> Bound:
    inside = found.throughput_rps * predicted.own_ms / 1000
    text = (
        f"{figure(predicted.throughput_rps)}/s are allowed by {predicted.bounds[0].text}, and {figure(inside)} "
        "requests were inside at once, as a pool, a lock or an upstream may hold them; lab diagnose tells which"
    )
    return Bound(UNNAMED, found.throughput_rps, text)


def _evidence(found: Achieved, cores: float) -> Iterator[str]:
    if found.cores_used is not None:
        yield f"{found.cores_used:.2f} of {cores:g} cores used"
    if found.cpu_ms_per_request is not None:
        yield f"{figure(found.cpu_ms_per_request)} ms CPU a request"
    if found.accept_queue_max is not None:
        waited = f"up to {found.accept_queue_max}" if found.accept_queue_max else "no"
        yield f"{waited} connections waited to be accepted"


def margins(found: Achieved, limit: Limits, known: Knowledge) -> dict[str, float]:
    """How much room there is: load until the service's own limit, response time and memory until theirs. Shares.

    Where that limit binds already there is none, however far the next one is.
    """
    objective, room = known.objective, {}
    own = limit.following if limit.binding.name in LOAD else limit.binding
    if objective.rate and limit.binding.name not in (GENERATOR, UNNAMED):
        room["rate"] = limit.binding.per_s / objective.rate - 1
    elif objective.users and own and own.name not in (GENERATOR, OTHERS) and found.throughput_rps:
        room["throughput"] = max(0.0, own.per_s / found.throughput_rps - 1)
    if objective.p95_ms:
        room["p95"] = 1 - found.p95_ms / objective.p95_ms
    if objective.memory_mb and found.pss_mb is not None:
        room["memory"] = 1 - found.pss_mb / objective.memory_mb
    return room


def rule_of_thumb(chosen: Setting, known: Knowledge) -> str:
    """Why not 2 x cores + 1 workers: synchronous ones where they are a choice, else of the chosen class."""
    is_sync = any(one.worker_class == "sync" for one in known.candidates)
    workers = 2 * math.ceil(known.cores) + 1
    kind, threads = ("sync", min(1, chosen.threads)) if is_sync else (chosen.worker_class, chosen.threads)
    rule = Setting(workers, kind, threads, chosen.pool_size)
    found = predict(rule, known.demands()[kind], known.objective, known.cores)
    own = achieved(known.seen[chosen])
    seen = known.seen.get(rule, [])
    rate = fmean(one.throughput_rps for one in seen) if seen else found.expected_rps
    how = "measured" if seen else f"predicted, {found.bounds[0].text}"
    said = f"2 x {known.cores:g} cores + 1 = {rule} would give {figure(rate)}/s ({how})"
    if rule == chosen:
        return f"2 x {known.cores:g} cores + 1 = {rule}: here the rule of thumb is right"
    if seen and (missed := misses(known.objective, seen)):
        return f"{said}, but {missed[0].told}"
    memory = "its own memory"
    if own.pss_mb and chosen.workers:
        most = "" if found.knows_memory else "at most "
        memory = f"{most}{figure(found.most_mb)} MB instead of {figure(own.pss_mb)} MB"
    if rate < (1 - PRACTICALLY) * own.throughput_rps:
        less = 1 - rate / own.throughput_rps
        return f"{said}, {less:.0%} less, for {memory}: there the limit is {found.bounds[0].name}"
    if rate <= (1 + PRACTICALLY) * own.throughput_rps:
        return f"{said}, about the same, for {memory}"
    return f"{said}, more, for {memory}{'' if seen else ', which was not measured'}"
