"""One function a limit: what the figures show of it, or nothing. Which of them binds is not decided here."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from waitlab.diagnose.figures import Figures, Places, WorkerFigures

# A queue that is there at most looks is no hiccup. Below the first value it is one, in between nobody can tell.
SELDOM, OFTEN = 0.25, 0.6
# Of the cores it has, or of the one that a Python process can use: above the second no more comes out, whatever waits.
# Sampling the service, the kernel's own work and the turns of other processes take the rest.
NEARLY_FULL, FULL = 0.80, 0.92
# The cores a service runs on are taken, and no small part of it by the service itself.
ALL_BUSY, OWN_PART = 0.97, 0.4
# Enough where the service's processes are known to wait for them, and get as much: who computes less only wakes often.
MOSTLY_BUSY, COMPUTES = 0.85, 0.2
# A loop that computes is late as well: only one that is late while its process rests is blocked.
RESTS = 0.7
# The share of the time for which a loop was late: a healthy one stays below 0.05, its timers' own grain.
SOMEWHAT_LATE, LATE = 0.12, 0.3
# Locust itself warns at 0.9; response times are inflated by then (2 % of users' time is missing at 0.55, 6 % at 0.76).
BUSY_GENERATOR, FULL_GENERATOR = 0.70, 0.85
# One worker is overloaded while another could do as much again with what it has.
SPARE = 0.5
# Held up by their clients: half the places is what must be missed.
HELD_UP = 0.5
# Threads a worker that have a request: fewer say nothing. And those of exporters and the like, which wait, too.
MANY, OTHER_THREADS = 2.0, 4.0
# What is deduced from threads that wait is worth less than a pool that tells how full it is.
DEDUCED = 0.8
# Evidence at its threshold is worth so much, and one when it is beyond doubt.
LEAST = 0.6


class Limit(Enum):
    """What can bind a service, in the words that a person reads."""

    LOOP = "event loop blocked"
    THREAD_POOL = "thread pool exhausted"
    WORKERS = "workers or threads exhausted"
    DATABASE = "database pool exhausted"
    UPSTREAM = "upstream limited"
    CPU = "CPU saturated"
    SKEW = "one worker overloaded by accept skew"
    SLOW_CLIENTS = "slow clients hold the workers"
    GENERATOR = "load generator saturated"
    NONE = "nothing: not saturated"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Evidence:
    """One limit that the figures show. `says`: these figures, in words; `weight`: 0.6 at its threshold, 1 beyond doubt.

    `what` narrows the limit where its cure depends on it.
    """

    limit: Limit
    says: tuple[str, ...]
    weight: float
    what: str = ""


Rule = Callable[[Figures], Evidence | None]


def cpu(seen: Figures) -> Evidence | None:
    """All it may use is used; or each process uses the one core that a Python process can."""
    if seen.cores is None:
        return None
    ratio = seen.cores / seen.cores_given if seen.cores_given else 0.0
    stolen = _stolen(seen)
    if (of_rest := ratio / (1 - stolen)) >= FULL:
        taken = (f"another virtual machine took {stolen:.0%} of them",) if ratio < FULL else ()
        return Evidence(Limit.CPU, (_cores(seen), *taken), weight(of_rest, FULL, 1.0), "cores")
    if found := _of_each(seen):
        return found
    if (seen.busy_ratio or 0.0) >= ALL_BUSY and ratio >= OWN_PART:
        others = f"its cores are busy {seen.busy_ratio:.0%} of the time, {ratio:.0%} with this service"
        return Evidence(Limit.CPU, (others,), weight(seen.busy_ratio or 0.0, ALL_BUSY, 1.0), "shared")
    return None


def _stolen(seen: Figures) -> float:
    """What another virtual machine took of the very cores that it may use, while these had nothing to spare."""
    is_all = seen.cores_given == seen.host_cores and (seen.busy_ratio or 0.0) >= FULL
    return min(seen.steal_ratio or 0.0, 0.99) if is_all else 0.0


def _of_each(seen: Figures) -> Evidence | None:
    """Every process computes all the time, or would: it waits for its turn, or for a core that others have."""
    least = min(seen.workers, key=lambda one: one.wants, default=None)
    if least is None or least.wants < FULL:
        return None
    used, sure = min(one.cores or 0.0 for one in seen.workers), weight(least.wants, FULL, 1.0)
    ready = f"{min(1.0, least.wants):.0%} of the time"
    says = f"each of {_some(len(seen.workers), 'worker')} computed or was ready to for {ready}"
    if used >= NEARLY_FULL:
        told = f"{says}, and used {used:.2f} of a core: one Python process, one core"
        return Evidence(Limit.CPU, (told, _cores(seen)), sure, "process")
    if (seen.busy_ratio or 0.0) < MOSTLY_BUSY or used < COMPUTES:
        return None
    told = f"{says}, and got {used:.2f} of a core: they are busy {seen.busy_ratio:.0%} of the time"
    return Evidence(Limit.CPU, (told,), sure, "shared")


def loop(seen: Figures) -> Evidence | None:
    """A loop that is late for much of the time, while its process does not compute."""
    late = [one for one in seen.workers if (one.late_ratio or 0.0) >= LATE and (one.cores or 0.0) < RESTS]
    late = [one for one in late if (one.late_ratio or 0.0) - one.wants >= SOMEWHAT_LATE]
    if late:
        worst = max(late, key=lambda one: one.late_ratio or 0.0)
        ratio, lag_s = worst.late_ratio or 0.0, worst.lag_s or 0.0
        says = (
            f"the loop of worker {worst.name} was late for {ratio:.0%} of the time, by up to {lag_s * 1000:.0f} ms",
            f"its process used {worst.cores or 0.0:.2f} of a core meanwhile",
        )
        return Evidence(Limit.LOOP, says, weight(ratio, LATE, 0.8))
    return None if seen.telemetry else _loop_from_outside(seen)


def _loop_from_outside(seen: Figures) -> Evidence | None:
    """Requests lie unread, and the main thread of a worker that has a loop is never where a loop waits for them."""
    stuck = [
        one
        for one in seen.workers
        if one.has_loop and (one.in_loop_ratio if one.in_loop_ratio is not None else 1.0) <= SELDOM
        if (one.cores or 0.0) < RESTS
    ]
    if not stuck or queued(seen) < OFTEN:
        return None
    away = min(1 - (one.in_loop_ratio or 0.0) for one in stuck)
    says = (
        f"the main thread of {_some(len(stuck), 'worker')} was elsewhere than in its event loop at {away:.0%} of the "
        f"looks, and computed little ({max(one.cores or 0.0 for one in stuck):.2f} of a core)",
        f"requests lay unread at {queued(seen):.0%} of the looks",
    )
    return Evidence(Limit.LOOP, says, weight(min(away, queued(seen)), OFTEN, 0.95))


def thread_pool(seen: Figures) -> Evidence | None:
    """Every token, or every thread of the executor, is taken, and more requests wait for one."""
    for kind, unit in (("tokens", "thread-pool tokens"), ("executor", "executor threads")):
        if found := _exhausted(seen, kind, Limit.THREAD_POOL, unit, kind):
            return found
    return None


def database(seen: Figures) -> Evidence | None:
    """Every connection is taken, and callers wait for one."""
    return _exhausted(seen, "pools", Limit.DATABASE, "database connections")


def unseen_pool(seen: Figures) -> Evidence | None:
    """Nearly all threads that have a request wait for other threads of their process, while nobody computes: so they
    do for the connections of a pool that is too small, whoever keeps it.
    """
    is_shown = seen.shows_pools or any(one.pools for one in seen.workers)
    full = thread_pool(seen) or workers(seen)
    if is_shown or upstream(seen) or not full or full.what == "workers":
        return None
    at_work = sum(one.at_work if one.at_work is not None else math.inf for one in seen.workers)
    busy, spare = _busy_threads(seen)
    if busy - at_work < at_work + spare or busy <= MANY * len(seen.workers):
        return None
    says = (
        f"of {busy:.1f} threads that had a request {at_work:.1f} waited for something outside; the others waited for "
        "one another, as for a connection of a full pool",
        "which pool, or lock, it is does not show from outside (py-spy dump does)",
    )
    return Evidence(Limit.DATABASE, says, DEDUCED * weight(1 - at_work / busy, 0.5, 0.75), "unseen")


def _busy_threads(seen: Figures) -> tuple[float, float]:
    """Threads that have a request, and how many of these may have none: the service tells exactly. From outside all do
    while requests wait for one; but some may be there for other things, and wait to be needed.
    """
    if (told := in_threads(seen)) is not None:
        return told, 0.0
    return sum(one.beside or 0.0 for one in seen.workers), OTHER_THREADS * len(seen.workers)


def upstream(seen: Figures) -> Evidence | None:
    """More calls are under way than the outside world serves at once, or than this service's own client makes."""
    if seen.upstream and (found := _full(Limit.UPSTREAM, seen.upstream, "places of the upstream", "places")):
        return found
    return _exhausted(seen, "calls", Limit.UPSTREAM, "calls that its client may have under way", "client")


def workers(seen: Figures) -> Evidence | None:
    """Every worker, or every thread of theirs, has a request, and more wait in front of them."""
    places, waits = seen.together("threads"), queued(seen)
    if places:
        waits = max(waits, places.waiting_ratio)
        unit = "threads" if places.size > len(seen.workers) else "workers"
        if min(places.full_ratio, waits) < OFTEN:
            return _exhausted_at_one(seen, "threads", Limit.WORKERS, unit, unit)
        says = (
            f"{places.used:.1f} of {places.size:.0f} {unit} busy, all of them at {places.full_ratio:.0%} of the looks",
            f"requests waited for one at {waits:.0%} of the looks, {_waiting(seen, places.waiting):.1f} in the mean",
        )
        return Evidence(Limit.WORKERS, says, weight(min(places.full_ratio, waits), OFTEN, 0.95), unit)
    return None if seen.telemetry else _workers_from_outside(seen)


def _workers_from_outside(seen: Figures) -> Evidence | None:
    """Requests wait, nobody computes, and every worker is one without a loop, or one whose loop is free.

    They wait for others: what lies unread is no queue where it is the body of the only request that there is.
    """
    free = [one for one in seen.workers if one.has_loop and (one.in_loop_ratio or 0.0) > 1 - OFTEN]
    plain = [one for one in seen.workers if one.has_loop is False]
    if not seen.workers or len(free) + len(plain) < len(seen.workers) or queued(seen) < OFTEN:
        return None
    if (held := seen.connections) and max(held.unaccepted, held.answering / len(seen.workers)) < OFTEN:
        return None
    kind = "workers" if plain and not takes_many(seen) else "threads"
    what = "each takes one request at a time" if kind == "workers" else "no event loop of them is blocked"
    says = (
        f"requests waited at {queued(seen):.0%} of the looks, {_waiting(seen):.1f} of them in the mean",
        f"its {_some(len(seen.workers), 'worker')} used {seen.cores or 0.0:.2f} of a core, and {what}",
    )
    return Evidence(Limit.WORKERS, says, weight(queued(seen), OFTEN, 0.95), kind)


def slow_clients(seen: Figures) -> Evidence | None:
    """Clients that send or take bit by bit hold at least half of the places, and others wait for one."""
    held, places = seen.connections, seen.together("threads")
    size = places.size if places else _places_from_outside(seen)
    waits = max(queued(seen), places.waiting_ratio if places else 0.0)
    if held is None or not size or held.slow < HELD_UP * size or min(waits, held.slow_ratio) < OFTEN:
        return None
    says = (
        f"{held.slow:.1f} connections were held up by their clients, who send or take bit by bit; {size:.0f} is all "
        "that the workers can hold",
        f"other requests waited at {waits:.0%} of the looks",
    )
    return Evidence(Limit.SLOW_CLIENTS, says, weight(min(waits, held.slow_ratio), OFTEN, 0.95))


def _places_from_outside(seen: Figures) -> float:
    """As many as workers without a loop; behind a loop that is free threads work, all of which have a request now."""
    plain = sum(one.has_loop is False for one in seen.workers)
    if plain or seen.telemetry or not seen.connections:
        return plain
    return max(seen.connections.answering, seen.connections.slow)


def skew(seen: Figures) -> Evidence | None:
    """One worker has more than it can do, while another has half of what it needs for that free."""
    loaded = [one for one in seen.workers if _load(one) >= 1.0 and _is_asked_more(seen, one)]
    spare = [one for one in seen.workers if _load(one) <= SPARE]
    if not loaded or not spare:
        return None
    most = max(loaded, key=lambda one: one.in_flight or 0.0)
    least = min(spare, key=_load)
    says = (
        f"worker {most.name}: {_busy(most)}",
        f"worker {least.name}: {_busy(least)}",
    )
    return Evidence(Limit.SKEW, says, weight(SPARE - _load(least), 0.0, SPARE))


def generator(seen: Figures) -> Evidence | None:
    """A process that sends the load has no CPU left."""
    ratio = seen.generator_ratio
    if ratio is None or ratio < FULL_GENERATOR:
        return None
    says = f"{seen.generator or 'the load generator'} used {ratio:.2f} of a core, all that one of its processes can"
    return Evidence(Limit.GENERATOR, (says,), weight(ratio, FULL_GENERATOR, 0.97))


def takes_many(seen: Figures) -> bool:
    """Whether more requests than workers are being answered, as far as that shows outside."""
    return seen.connections is None or seen.connections.answering > len(seen.workers) + SELDOM


def in_threads(seen: Figures) -> float | None:
    """How many requests have a thread of any kind, as the service tells; None where it does not."""
    told = [places.used for kind in ("tokens", "executor", "threads") if (places := seen.together(kind))]
    return max(told, default=None)


def queued(seen: Figures) -> float:
    """The share of the looks at which requests waited in front of the workers: to be accepted, or to be read."""
    found = [seen.accept_ratio or 0.0]
    if seen.connections:
        found.append(seen.connections.queued_ratio)
    return max(found)


def weight(value: float, least: float, sure: float) -> float:
    """0.6 at the threshold, 1 where it is beyond doubt, and linear between."""
    return LEAST + (1 - LEAST) * max(0.0, min(1.0, (value - least) / (sure - least)))


def _exhausted(seen: Figures, kind: str, limit: Limit, unit: str, what: str = "") -> Evidence | None:
    """All places of a kind, of all workers or of one."""
    places = seen.together(kind)
    found = _full(limit, places, unit, what) if places else None
    return found or _exhausted_at_one(seen, kind, limit, unit, what)


def _exhausted_at_one(seen: Figures, kind: str, limit: Limit, unit: str, what: str) -> Evidence | None:
    """A worker has used up its own, and the others have not enough left for a skew."""
    every = {one.name: places for one in seen.workers if (places := getattr(one, kind))}
    name = max(every, key=lambda one: every[one].exhausted_ratio, default="")
    others = [places for one, places in every.items() if one != name]
    if not others or (held := every[name].exhausted_ratio) < OFTEN:
        return None
    used, size, most = sum(one.used for one in others), sum(one.size for one in others), every[name]
    if (taken := used / size) < SPARE:
        return None
    says = (
        f"all {most.size:.0f} {unit} of worker {name} in use at {most.full_ratio:.0%} of the looks, and {used:.1f} of "
        f"the {size:.0f} of the others",
        f"{most.waiting:.1f} requests waited for one of worker {name} in the mean: they stay with the worker that took "
        "them",
    )
    return Evidence(limit, says, min(weight(held, OFTEN, 0.95), weight(taken, SPARE, 0.9)), what)


def _full(limit: Limit, places: Places, unit: str, what: str = "") -> Evidence | None:
    if (held := places.exhausted_ratio) < OFTEN:
        return None
    says = (
        f"{places.used:.1f} of {places.size:.0f} {unit} in use, all of them at {places.full_ratio:.0%} of the looks",
        f"{places.waiting:.1f} requests waited for one in the mean",
    )
    return Evidence(limit, says, weight(held, OFTEN, 0.95), what)


def _load(one: WorkerFigures) -> float:
    """How much of what it has a worker uses: one when anything of it is used up and asked for more.

    That its loop is late counts for nothing: whoever shares its work out anew moves the block, and does not end it.
    """
    found = [(one.cores or 0.0) / FULL]
    for places in one.places:
        is_out = places.exhausted_ratio >= OFTEN
        found.append(1.0 if is_out else min(0.99, places.used / places.size) if places.size else 0.0)
    return max(found)


def _is_asked_more(seen: Figures, one: WorkerFigures) -> bool:
    """Whether a worker has more than one request, or requests wait for any: one alone is no overload."""
    more = takes_many(seen) if one.in_flight is None else one.in_flight > 1 + SELDOM
    return more or queued(seen) >= OFTEN


def _busy(one: WorkerFigures) -> str:
    parts = [f"{one.rps:.1f} requests/s"] if one.rps is not None else []
    parts += [f"{one.in_flight:.1f} in flight"] if one.in_flight is not None else []
    parts += [f"{one.cores:.2f} of a core"] if one.cores is not None else []
    waiting = sum(places.waiting for places in one.places)
    return ", ".join([*parts, *([f"{waiting:.1f} wait in it"] if waiting >= 0.05 else [])])


def _cores(seen: Figures) -> str:
    return f"it used {seen.cores or 0.0:.2f} of the {seen.cores_given or 0.0:g} cores that it may use"


def _waiting(seen: Figures, inside: float = 0.0) -> float:
    """Requests that wait in front of the workers, in the mean; `inside`: those that were accepted, as the workers have
    it. The kernel has most of these too: nobody has read them.
    """
    if seen.connections:
        return seen.connections.unaccepted + max(seen.connections.unread, inside)
    return (seen.accept_queue or 0.0) + inside


def _some(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"


RULES: tuple[Rule, ...] = (
    skew,
    cpu,
    loop,
    upstream,
    database,
    unseen_pool,
    thread_pool,
    slow_clients,
    workers,
    generator,
)
