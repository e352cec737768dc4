"""What the laws say of a setting before it is measured: throughput, response time, memory, and which limit is next.

The bounds are those of waitlab/laws.py, X <= min(N / (w + c + Z), S / (w + c), cores / c), with demands as measured.
Where two of them meet, a real service stays below both: by as much as an exponential one would at the most (exact mean
value analysis, Reiser and Lavenberg 1980), so that the middle of both is expected.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from waitlab.capacity import added, counted, figure, seconds
from waitlab.target.settings import Setting
from waitlab.tune.demands import Demands, known_places, parallel
from waitlab.tune.objective import CARRIED, Objective

LOAD = ("users", "arrivals")  # bounds that are no service's fault
OF_CPU = ("CPU", "one core a worker")
POOL = "connections of the pool"
UNITS = {"sync": "workers", "gthread": "threads", "gevent": "greenlets"}  # of the places that a class says
HARDLY = 0.95
UNSTABLE = 0.999  # of a capacity: beyond it a queue has no mean
LENIENT = 1.1  # a mean may be a little above what most requests need
ASIDE = 0.2  # of what was seen: so far off may be a slow minute of a shared host, or CPU that threads cost their kin
SEEN = 1.03  # of what was seen: it may be as much more
TAIL_OF_WAIT = 3.0  # 95 % of exponential waits are below three of their means: ln 20


@dataclass(frozen=True)
class Bound:
    """So many answers a second at most, and why: `name` is the thing that limits, `text` the formula filled in."""

    name: str
    per_s: float
    text: str


@dataclass(frozen=True)
class Predicted:
    """One setting's. `bounds`: the tightest first. `throughput_rps` is the law's, `expected_rps` what is likely near a
    knee, `ceiling_rps` what it cannot be above, `at_best_rps` what not even in a better minute. Response times are for
    what is expected.
    """

    setting: Setting
    bounds: tuple[Bound, ...]
    throughput_rps: float
    expected_rps: float
    ceiling_rps: float
    at_best_rps: float
    own_ms: float  # what a request takes without any queue
    usual_ms: float  # what half of the requests take at most, without any queue
    mean_ms: float
    p95_ms: float
    pss_mb: float
    least_mb: float
    most_mb: float
    knows_memory: bool  # else `pss_mb` is a guess, and `most_mb` as if a further worker took as much as the first


def predict(setting: Setting, demands: Demands, objective: Objective, cores: float) -> Predicted:
    """What is to be expected of a setting under the objective's load on so many cores."""
    limits = bounds(setting, demands, objective, cores)
    law = min(bound.per_s for bound in limits)
    expected = (law + _exponential(setting, demands, objective, cores, law)) / 2
    mean_s, p95_s = _response(setting, demands, objective, cores, expected)
    quicker = replace(demands, least_cpu_s=(1 - ASIDE) * demands.least_cpu_s)
    return Predicted(
        setting=setting,
        bounds=limits,
        throughput_rps=law,
        expected_rps=expected,
        ceiling_rps=_ceiling(setting, demands, objective, cores),
        at_best_rps=_ceiling(setting, quicker, objective, cores),
        own_ms=(demands.wait_s + demands.cpu_s) * 1000,
        usual_ms=max(0.0, demands.wait_s + demands.cpu_s - demands.skew_s) * 1000,
        mean_ms=mean_s * 1000,
        p95_ms=p95_s * 1000,
        pss_mb=demands.pss_mb(setting),
        least_mb=demands.least_mb(setting),
        most_mb=demands.most_mb(setting),
        knows_memory=demands.knows_memory(setting),
    )


def bounds(setting: Setting, demands: Demands, objective: Objective, cores: float) -> tuple[Bound, ...]:
    """Every limit that is known, the tightest first; the CPU before what is held for hardly longer than it."""
    found = _bounds(setting, demands, objective, cores)
    return tuple(sorted(found, key=lambda bound: bound.per_s * (HARDLY if bound.name in OF_CPU else 1)))


def _bounds(setting: Setting, demands: Demands, objective: Objective, cores: float) -> Iterator[Bound]:
    wait_s, cpu_s = demands.wait_s, demands.cpu_s
    yield _asked(demands, objective)
    if wait_s + cpu_s > 0:
        yield from _of_places(setting, demands)
    if cpu_s > 0:
        used, name = parallel(setting, cores), OF_CPU[0 < setting.workers < cores]
        yield Bound(name, used / cpu_s, f"{counted(used, 'cores')} / {seconds(cpu_s)}")


def _asked(demands: Demands, objective: Objective) -> Bound:
    if objective.rate:
        return Bound("arrivals", objective.rate, f"{figure(objective.rate)} arrivals/s")
    cycle = (demands.wait_s, demands.cpu_s, demands.think_s)
    users = f"{counted(objective.users, 'users')} / {added(*cycle)}"
    return Bound("users", objective.users / sum(cycle) if sum(cycle) else math.inf, users)


def _of_places(setting: Setting, demands: Demands) -> Iterator[Bound]:
    """What is held while a request waits: the places that its class says, and what was seen to be full beside."""
    held, known = (demands.wait_s, demands.cpu_s), known_places(setting)
    room, is_of_pool = demands.room(setting)
    if known is not None:
        yield _held(setting.processes * known, UNITS[setting.worker_class], held)
    if is_of_pool:
        connections, per_s = setting.processes * setting.pool_size, setting.processes * room / sum(held)
        yield Bound(POOL, per_s, f"{counted(connections, 'connections')} / {seconds(connections / per_s)}")
    elif math.isfinite(room):
        yield _held(setting.processes * room, "requests at once", held)


def _held(places: float, unit: str, held: tuple[float, float]) -> Bound:
    return Bound(unit, places / sum(held), f"{counted(places, unit)} / {added(*held)}")


def _ceiling(setting: Setting, demands: Demands, objective: Objective, cores: float) -> float:
    """The law's value with the least CPU that the demands leave open. Room for requests counts where the class of the
    worker says how much there is, or it was seen to be too little with as much of what may be full.
    """
    cpu_s, wait_s = demands.least_cpu_s, demands.wait_s
    limits = [objective.rate or _over(objective.users, wait_s + cpu_s + demands.think_s)]
    known = setting.processes * (known_places(setting) or math.inf)
    limits.append(_over(min(known, SEEN * demands.most(setting)), wait_s + cpu_s))
    return min(*limits, _over(parallel(setting, cores), cpu_s))


def _over(count: float, held_s: float) -> float:
    return count / held_s if held_s and math.isfinite(count) else math.inf


def _exponential(setting: Setting, demands: Demands, objective: Objective, cores: float, law: float) -> float:
    """What the same demands would give if the CPU's were exponential: below any real service of this kind."""
    if objective.rate or not demands.cpu_s or not math.isfinite(law):
        return law
    inside = min(float(objective.users), setting.processes * demands.of_worker(setting))
    waits = demands.wait_s + (demands.think_s if inside == objective.users else 0.0)
    return min(law, _mean_value_analysis(max(1, round(inside)), waits, demands.cpu_s, parallel(setting, cores)))


@lru_cache(maxsize=4096)
def _mean_value_analysis(customers: int, wait_s: float, cpu_s: float, servers: float) -> float:
    """Throughput of so many customers who wait, then use one of `servers` CPUs; several as one faster CPU with a delay
    before it (Seidmann 1987).
    """
    each, delay, queue, found = cpu_s / servers, wait_s + cpu_s * (servers - 1) / servers, 0.0, 0.0
    for number in range(1, customers + 1):
        response = each * (1 + queue)
        found = number / (delay + response)
        queue = found * response
    return found


def _response(
    setting: Setting, demands: Demands, objective: Objective, cores: float, expected: float
) -> tuple[float, float]:
    """Mean and 95th percentile of the response time, seconds: N / X - Z in a closed loop, else own time and queues."""
    own = demands.wait_s + demands.cpu_s
    if not objective.rate:
        mean = max(own, objective.users / expected - demands.think_s) if expected else math.inf
        return mean, mean * demands.tail
    queue = _queue(objective.rate, demands.cpu_s, parallel(setting, cores))
    queue += _queue(objective.rate, own, setting.processes * demands.of_worker(setting))
    return own + queue, own + TAIL_OF_WAIT * queue


def _queue(rate: float, held_s: float, servers: float) -> float:
    """The mean wait for one of `servers` that each arrival holds for the same time (Sakasegawa 1977, halved: holding
    times do not vary). Infinite at capacity and beyond.
    """
    if not held_s or math.isinf(servers):
        return 0.0
    busy = rate * held_s / servers
    if busy >= UNSTABLE:
        return math.inf
    return float(held_s * busy ** (math.sqrt(2 * (servers + 1)) - 1) / (2 * servers * (1 - busy)))


def meets(predicted: Predicted, objective: Objective) -> bool:
    """Whether it is expected to meet the objective."""
    carried = not objective.rate or _capacity(predicted) > objective.rate
    fits = not objective.memory_mb or predicted.pss_mb <= objective.memory_mb
    quick = not objective.p95_ms or predicted.p95_ms <= objective.p95_ms
    return carried and fits and quick


def can_meet(predicted: Predicted, objective: Objective) -> bool:
    """Whether it is possible at all, by the ceiling, the least memory and the time that a request takes by itself."""
    if objective.memory_mb and predicted.least_mb > objective.memory_mb:
        return False
    if objective.p95_ms and _quickest_ms(predicted, objective) > objective.p95_ms * LENIENT:
        return False
    return not objective.rate or predicted.ceiling_rps >= CARRIED * objective.rate


def _quickest_ms(predicted: Predicted, objective: Objective) -> float:
    """The shortest p95 that is possible: what half of the requests take by themselves, and where users ask, N / X - Z
    less what a few slow requests add to a mean and not to a p95.
    """
    if not objective.users or not predicted.ceiling_rps:
        return predicted.usual_ms
    rest_ms = max(0.0, objective.users / predicted.expected_rps * 1000 - predicted.mean_ms)
    few_ms = predicted.own_ms - predicted.usual_ms
    return max(predicted.usual_ms, objective.users / predicted.ceiling_rps * 1000 - rest_ms - few_ms)


def _capacity(predicted: Predicted) -> float:
    """What the service itself can give, whatever the load asks for."""
    return min((bound.per_s for bound in predicted.bounds if bound.name not in LOAD), default=math.inf)
