"""What limits an arm: how many answers a second its load asks for, and how many each thing it needs can give.

A request holds a place (a worker, a thread, a token, a connection) while it waits, so S places give S / w answers a
second. Every limit carries its formula, filled in, for the reader of a prediction.
"""

import math
from dataclasses import dataclass

from waitlab.case import FETCHING, ON_A_CONNECTION, WAITS, Case, keeps_to_one_thread

GREENLETS = 1_000  # gunicorn's worker_connections
DJANGO = "django-asgi"  # whose blocking calls each have a thread of their request's own: a place that none waits for
RELEASES_GIL = ("hash", "zlib")
# Waited for when the application has begun with the request.
INSIDE = ("tokens", "executor threads", "connections", "upstream places")


@dataclass(frozen=True)
class Station:
    """`count` places, each held for `held_s` by every request that passes. `computes`: held while it computes, too."""

    count: int
    unit: str
    held_s: float
    computes: bool

    def __str__(self) -> str:
        return counted(self.count, self.unit)


@dataclass(frozen=True)
class Limit:
    """So many answers a second at most, and why."""

    per_s: float
    text: str


def asked(case: Case, cpu_s: float = 0.0) -> Limit:
    """What the load asks for when nothing queues: N / (w + c + Z), or the rate at which requests arrive."""
    if case.rate:
        return Limit(case.rate, f"{figure(case.rate)} arrivals/s")
    cycle = case.wait_s + cpu_s + case.think_s
    users = f"{counted(case.users, 'users')} / {added(case.wait_s, cpu_s, case.think_s)}"
    return Limit(case.users / cycle if cycle else math.inf, users)


def given(case: Case, cpu_s: float = 0.0) -> tuple[Limit, ...]:
    """What each kind of place gives: S / w, or S / (w + c) where it is held while computing; and cores / c."""
    places = []
    for station in stations(case):
        held = (station.held_s, cpu_s if station.computes else 0.0)
        places.append(Limit(station.count / sum(held), f"{station} / {added(*held)}"))
    if cpu_s:
        places.append(Limit(computing(case) / cpu_s, f"{counted(computing(case), 'cores')} / {seconds(cpu_s)}"))
    return tuple(places)


def bottleneck(case: Case) -> Station | None:
    """The place that is full first; None where there is none."""
    return min(stations(case), key=lambda station: station.count / station.held_s, default=None)


def stations(case: Case) -> tuple[Station, ...]:
    """Where a request must have a place for as long as it waits; none where nothing but the load limits it.

    HTTP clients have places too (100 calls a process when blocking, 1,000 by aiohttp), more than the threads that could
    use them. httpx has no law: its pool collapses above about 50 calls in flight, so predictions about it are N / w.
    """
    found = (*_execution(case), *_connections(case), *_upstream(case))
    return tuple(station for station in found if station.held_s > 0)


def _execution(case: Case) -> tuple[Station, ...]:
    """What runs the handler while it waits: a process, a thread, a token, the loop; nothing where it awaits."""
    wsgi = {"sync": (1, "workers"), "gthread": (case.threads, "threads"), "gevent": (GREENLETS, "greenlets")}
    if case.worker_class in wsgi:
        a_worker, unit = wsgi[case.worker_class]
    elif _holds_token(case):
        a_worker, unit = case.tokens, "tokens"
    elif case.style == "blocked":
        a_worker, unit = 1, "event loops"
    elif _hands_away(case):
        at_once = 2 if case.workload == "gather" else 1
        a_worker, unit = case.executor_threads // at_once, "executor threads"
    else:
        return ()
    return (Station(case.workers * a_worker, unit, case.wait_s, computes=unit != "executor threads"),)


def _holds_token(case: Case) -> bool:
    """Whether the wait takes one of the tokens that run `def` code on an ASGI server."""
    if case.workload == "depends":
        dependency = case.parameter("dep")
        return dependency == "sync" or (dependency in ON_A_CONNECTION and case.style == "sync")
    return (case.style == "sync" and case.service != DJANGO) or case.workload == "def-asyncio-run"


def _hands_away(case: Case) -> bool:
    """Whether the wait takes a thread of the loop's own executor. Files do in style async, too: asyncio has none."""
    if case.style == "bridged":
        return not keeps_to_one_thread(case.parameters)
    return case.style == "offload" or (case.style == "async" and case.workload == "read")


def _upstream(case: Case) -> tuple[Station, ...]:
    """What the upstream serves at once, where the arm has set it: one for all workers."""
    if not case.upstream_concurrency or case.workload not in FETCHING:
        return ()
    a_call = (case.wait_s - case.upstream_delay_s) / WAITS.get(case.workload, 1) + case.upstream_delay_s
    return (Station(case.upstream_concurrency, "upstream places", a_call, False),)


def _connections(case: Case) -> tuple[Station, ...]:
    """The pool of database connections, for those workloads that ask it: each worker has its own."""
    if case.workload in WAITS:
        held = (case.wait_s - case.upstream_delay_s) * 2 / 3
    elif case.workload == "query" or (case.workload == "depends" and case.parameter("dep") in ON_A_CONNECTION):
        held = case.wait_s
    else:
        return ()
    return (Station(case.workers * case.pool_size, "connections", held, False),)


def computing(case: Case) -> float:
    """How many cores CPU-bound requests of this arm can use."""
    return min(parallel(case), case.cores)


def parallel(case: Case) -> int:
    """How many requests can compute at once, if there are cores enough.

    A process has one GIL, so it uses one core, unless its threads run what releases it (hash, zlib on large buffers).
    Style offload burns in other processes, as many as the service has cores.
    """
    a_worker = 1
    if case.style == "offload":
        a_worker = math.ceil(case.cores)
    elif case.parameters.get("kind") in RELEASES_GIL:
        a_worker = _threads(case)
    return case.workers * a_worker


def _threads(case: Case) -> int:
    """How many threads of one worker can run requests' code at once."""
    if case.worker_class != "asgi":
        return case.threads
    if case.style == "bridged" and not keeps_to_one_thread(case.parameters):
        return case.executor_threads
    if case.service == DJANGO and case.style in ("sync", "bridged"):
        return max(case.users, case.concurrent, 1)
    return case.tokens if case.style == "sync" else 1


def figure(value: float) -> str:
    """A number as a formula shows it: four digits are enough for a reader."""
    return f"{value:.4g}"


def counted(count: float, unit: str) -> str:
    """So many of something, in the singular for one."""
    return f"{figure(count)} {unit.removesuffix('s') if count == 1 else unit}"


def seconds(value: float) -> str:
    """Seconds with their unit."""
    return f"{figure(value)} s"


def milliseconds(value_s: float) -> str:
    """Seconds as milliseconds, with the unit."""
    return f"{figure(value_s * 1000)} ms"


def added(*parts_s: float) -> str:
    """A sum of seconds, without what is nothing."""
    parts = [seconds(part) for part in parts_s if part]
    return f"({' + '.join(parts)})" if len(parts) > 1 else "".join(parts) or seconds(0)


def least(limits: list[str]) -> str:
    """The smallest of some formulas."""
    return f"min({', '.join(limits)})" if len(limits) > 1 else limits[0]
