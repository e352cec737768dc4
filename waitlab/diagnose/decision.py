"""Which of the limits that the figures show is the one that binds: the others are mostly its consequences."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from waitlab.diagnose import cures, limits
from waitlab.diagnose.cures import Cure
from waitlab.diagnose.figures import Figures
from waitlab.diagnose.limits import NEARLY_FULL, RULES, SELDOM, Evidence, Limit

# What follows from a limit. A resource that is full makes all full that are held while one waits for it: connections of
# a pool by threads, threads by workers. A computing or a blocked process is late with everything.
FOLLOWS: dict[Limit, frozenset[Limit]] = {
    Limit.SKEW: frozenset(Limit) - {Limit.GENERATOR},
    Limit.CPU: frozenset(Limit) - {Limit.GENERATOR},
    Limit.LOOP: frozenset({Limit.UPSTREAM, Limit.DATABASE, Limit.THREAD_POOL, Limit.SLOW_CLIENTS, Limit.WORKERS}),
    Limit.UPSTREAM: frozenset({Limit.THREAD_POOL, Limit.WORKERS}),
    Limit.DATABASE: frozenset({Limit.THREAD_POOL, Limit.WORKERS}),
    Limit.THREAD_POOL: frozenset({Limit.WORKERS}),
    Limit.SLOW_CLIENTS: frozenset({Limit.WORKERS}),
}
BEHIND_CPU = FOLLOWS[Limit.CPU] - {Limit.CPU, Limit.SKEW}  # what a CPU that is nearly full might explain
DOUBT = 0.7  # what confidence is worth after each thing that speaks against it
TOLD = 0.5  # below it nothing is told
STEAL = 0.2  # another machine takes so much that waits mean little, as `lab run` has it for requests that wait
NOT_UNLOADED = 0.05  # of the answers are errors: what is refused at once needs nothing, so that nothing seems full
ANY = 0.5  # calls under way that are worth a word
CALLING = 0.7  # of the requests in flight wait for the outside world


@dataclass(frozen=True)
class Verdict:
    """What binds. `confidence`, 0 to 1: how far beyond its threshold the evidence is, less for what speaks against it.

    `evidence`: the figures; `also`: what else was seen, mostly its consequences; `doubts`: what speaks against it, or
    why it cannot be told.
    """

    limit: Limit
    confidence: float
    evidence: tuple[str, ...]
    also: tuple[Evidence, ...]
    doubts: tuple[str, ...]
    cure: Cure


def decide(seen: Figures) -> Verdict:
    """The binding limit. It is `UNKNOWN` where two would fit, where figures are missing, and near a threshold."""
    unfit = _unfit(seen)
    found = [evidence for rule in RULES if (evidence := rule(seen))]
    if unfit or not found:
        return _unknown(unfit, found) if unfit else _nothing(seen)
    first, *others = found
    rivals = [other for other in others if other.limit not in FOLLOWS.get(first.limit, frozenset())]
    computing = _computing(seen, min)[:1] if first.limit in BEHIND_CPU else ()
    doubts = (
        *_noise(seen),
        *computing,
        *_held_by(first, seen),
        *_called(first, seen),
        *(f"{other.limit.value}: {other.says[0]}" for other in rivals),
    )
    confidence = first.weight * DOUBT ** len(doubts)
    rests = all(one.ready is not None for one in seen.workers)  # else the rule of the CPU would have found it
    if confidence < TOLD or (computing and not rests):
        return _unknown((f"{first.limit.value} is likely: {first.says[0]}", *doubts), others)
    return Verdict(first.limit, confidence, first.says, tuple(others), doubts, cures.of(first))


def _held_by(first: Evidence, seen: Figures) -> tuple[str, ...]:
    """What full threads may wait for, where neither they nor pools can be looked at."""
    may_wait = first.limit is Limit.THREAD_POOL or (first.limit is Limit.WORKERS and first.what == "threads")
    is_shown = all(one.at_work is not None for one in seen.workers)
    return () if is_shown or not may_wait else _unseen(seen)


def _called(first: Evidence, seen: Figures) -> tuple[str, ...]:
    """Whom what is full waits for: whether that is full itself, nobody says."""
    inside = limits.in_threads(seen)
    if inside is None:
        inside = seen.connections.answering if seen.connections else 0.0
    may_wait = first.limit in {Limit.THREAD_POOL, Limit.WORKERS} and seen.awaited >= max(ANY, CALLING * inside)
    return (f"{_calls(seen)}: if it serves no more at once, more places here change nothing",) if may_wait else ()


def _calls(seen: Figures) -> str:
    return f"{seen.awaited:.1f} calls wait for an answer, most of them from {seen.callee}"


def _unknown(doubts: tuple[str, ...], found: list[Evidence]) -> Verdict:
    return Verdict(Limit.UNKNOWN, 0.0, (), tuple(found), doubts, cures.of(Evidence(Limit.UNKNOWN, (), 0.0)))


def _nothing(seen: Figures) -> Verdict:
    """Nothing is full: that is an answer only where everything that can be could have been seen."""
    doubts = (*_blind(seen), *_near(seen), *_noise(seen))
    if doubts:
        return _unknown(doubts, [])
    unseen = _unseen(seen)
    confidence = DOUBT if unseen else 1.0
    return Verdict(Limit.NONE, confidence, tuple(_free(seen)), (), unseen, cures.of(Evidence(Limit.NONE, (), 1.0)))


def _unfit(seen: Figures) -> tuple[str, ...]:
    """Why this watch shows nothing, whatever its figures."""
    if not seen.workers:
        return ("no worker of it lives",)
    if seen.changed:
        return (f"{seen.changed} of its workers came or went meanwhile: watch it again when it rests",)
    is_seen = seen.telemetry or seen.connections is not None  # of a container no request is, whether it comes or not
    return () if _is_loaded(seen) or not is_seen else ("no request came, and none was under way: nothing can be full",)


def _is_loaded(seen: Figures) -> bool:
    open_ = seen.connections
    in_flight = sum(one.in_flight or 0.0 for one in seen.workers)
    told = in_flight or (seen.rps or 0.0) > 0 or (seen.accept_queue or 0.0) > 0
    return bool(told or (open_ and (open_.unaccepted or open_.unread or open_.answering or open_.slow)))


def _noise(seen: Figures) -> tuple[str, ...]:
    steal = seen.steal_ratio or 0.0
    return (f"another virtual machine took {steal:.0%} of its cores",) if steal > STEAL else ()


def _blind(seen: Figures) -> tuple[str, ...]:
    """What could be full and cannot be seen."""
    doubts = []
    if not seen.telemetry and seen.connections is None:
        doubts.append(
            "its requests do not show from here, as those of a container: wrapped, it shows them itself "
            "(docs/tune-your-service.md)"
        )
    elif not seen.telemetry and limits.takes_many(seen):
        doubts.append(
            "nothing that shows outside is full, and its workers take several requests at a time: where these wait "
            "shows inside only (`lab serve` starts it so)"
        )
    if doubts and seen.awaited >= ANY:
        doubts.append(_calls(seen))
    calls, in_flight = seen.together("calls"), sum(one.in_flight or 0.0 for one in seen.workers)
    if calls and calls.used and calls.used >= CALLING * in_flight and seen.upstream is None:
        doubts.append(
            f"{calls.used:.1f} of {in_flight:.1f} requests wait for an upstream that does not say whether it is full"
        )
    if (seen.error_ratio or 0.0) > NOT_UNLOADED:
        doubts.append(f"{seen.error_ratio:.0%} of the answers are errors, and an error needs little")
    return tuple(doubts)


def _unseen(seen: Figures) -> tuple[str, ...]:
    """Pools that nobody has shown, where more than one request of a worker could wait in them."""
    shown = seen.shows_pools or any(one.pools for one in seen.workers)
    one_each = all(one.threads is not None and one.threads.size == 1 for one in seen.workers)
    if shown or one_each or not (seen.telemetry or limits.takes_many(seen)):
        return ()
    return ("pools of its own (connections, threads) would not show here: a full one looks like work that takes long",)


def _computing(seen: Figures, of_all: Callable[[Iterable[float]], float]) -> tuple[str, ...]:
    """Whether nearly all CPU is used: of the service, or of what one process can by all or by any of its workers."""
    doubts = []
    if seen.cores_given and (ratio := (seen.cores or 0.0) / seen.cores_given) >= NEARLY_FULL:
        doubts.append(f"it uses {ratio:.0%} of its CPU, which is nearly all")
    if (used := of_all(one.cores or 0.0 for one in seen.workers)) >= NEARLY_FULL:
        doubts.append(f"a worker uses {used:.2f} of a core, which is nearly all that one Python process can")
    return tuple(doubts)


def _near(seen: Figures) -> tuple[str, ...]:
    """What is neither free nor full."""
    doubts = [*_computing(seen, max)]
    if (waits := limits.queued(seen)) > SELDOM:
        doubts.append(f"requests wait in front of the workers at {waits:.0%} of the looks, and nothing shows why")
    for kind in ("threads", "tokens", "executor", "pools", "calls"):
        places = seen.together(kind)
        if places and places.waiting_ratio > SELDOM:
            doubts.append(
                f"requests wait for {kind} at {places.waiting_ratio:.0%} of the looks, which is less than often"
            )
        elif any(held.exhausted_ratio > SELDOM for one in seen.workers if (held := getattr(one, kind))):
            doubts.append(f"requests wait for {kind} of one worker, and others have some left")
    late = max((one.late_ratio or 0.0 for one in seen.workers), default=0.0)
    if late >= limits.SOMEWHAT_LATE:
        doubts.append(f"an event loop was late for {late:.0%} of the time, which is more than it should")
    if (seen.generator_ratio or 0.0) >= limits.BUSY_GENERATOR:
        doubts.append(f"the load generator uses {seen.generator_ratio:.2f} of a core, which is nearly all")
    return tuple(doubts)


def _free(seen: Figures) -> list[str]:
    """What is left of everything, in words."""
    lines = [f"requests wait in front of the workers at {limits.queued(seen):.0%} of the looks"]
    if seen.cores is not None and seen.cores_given:
        lines.append(f"it uses {seen.cores:.2f} of the {seen.cores_given:g} cores that it may use")
    units = {
        "threads": "workers or threads",
        "tokens": "tokens",
        "executor": "executor threads",
        "pools": "connections",
    }
    for kind, unit in units.items():
        places = seen.together(kind)
        if places and places.used >= 0.05:
            lines.append(f"{places.used:.1f} of {places.size:.0f} {unit} in use, nobody waits for one")
    if seen.generator_ratio is not None:
        lines.append(f"the load generator uses {seen.generator_ratio:.2f} of a core")
    return lines
