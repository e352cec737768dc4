"""What one request asks of the service, and one worker of the machine: read off the windows that were measured.

The wait w and the CPU c of a request, the rest Z of a user, the memory of the first worker and of each further one,
and how many requests a worker has room for where its class does not say. Pure: numbers in, numbers out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from waitlab.target.observation import Observation
from waitlab.target.settings import Setting

GREENLETS = 1_000  # gunicorn's worker_connections
TICK_S = 0.01  # the kernel accounts CPU in these
UNSURE = 0.5  # of the CPU a request that was seen in another class, or of one user alone, may be all there is
REST = 0.05  # of a response time: below it what users do between answers is the generator's own time
SHORTER = 0.95  # of one user's response time: what is below it under load is no noise
LIMITED = 0.85  # of what all else allows: a worker that gives less has no room for more
ALIKE, VARIED = 1.1, 1.5  # rooms of two pools, and these: what hardly differs between them is not theirs
ALL_ITS_OWN = 0.9  # of what a further worker takes: its threads and their stacks may have the rest


@dataclass(frozen=True)
class Room:
    """So many requests at once were all that a worker had, with so many threads and connections; `workers`: the fewest
    that were seen so. `is_any_pool`: with another number of connections it had as many.
    """

    threads: int
    pool_size: int
    workers: int
    requests: float
    is_any_pool: bool = False

    @property
    def is_of_threads(self) -> bool:
        """Whether its threads may be what is full: each request has one."""
        return 0 < LIMITED * self.threads <= self.requests

    @property
    def is_of_pool(self) -> bool:
        """Whether its connections may be what is full: no more requests than these have one."""
        return not self.is_any_pool and 0 < LIMITED * self.pool_size <= self.requests

    def expected(self, setting: Setting) -> float:
        """What a worker of another setting has room for: in proportion to what may be full."""
        shares = [setting.threads / self.threads] if self.is_of_threads else []
        shares += [setting.pool_size / self.pool_size] if self.is_of_pool else []
        return self.requests * min(shares, default=1.0)

    def bounds(self, setting: Setting) -> bool:
        """Whether a worker of another setting has no more: of its connections only fewer tell that, unless they are
        known to make no difference.
        """
        is_alike = setting.threads == self.threads or not self.is_of_threads
        return is_alike and (setting.pool_size <= self.pool_size or self.is_any_pool)


@dataclass(frozen=True)
class Demands:
    """Seconds a request, MB (PSS) a worker. `least_...`: it may be as little as that.

    `rooms`: the limits of a worker that were seen beyond what its class says. `tail`: the p95 of a loaded window by its
    mean. `skew_s`: how far a request's mean is above its median. `weighed`: workers -> PSS, of those that were seen.
    """

    wait_s: float
    cpu_s: float
    least_cpu_s: float
    think_s: float = 0.0
    first_mb: float = 0.0
    further_mb: float = 0.0
    least_further_mb: float = 0.0
    tail: float = 1.0
    skew_s: float = 0.0
    rooms: tuple[Room, ...] = ()
    weighed: Mapping[int, float] = field(default_factory=dict)

    def of_worker(self, setting: Setting) -> float:
        """How many requests one of its workers (or all, where they are not a choice) serves at once; infinite where no
        limit is known.
        """
        known = known_places(setting)
        return min(math.inf if known is None else known, self.room(setting)[0])

    def room(self, setting: Setting) -> tuple[float, bool]:
        """The same by what was seen alone, and whether its connections are what is full.

        Where the class of a worker says its places, what else may be full is not a worker's own, but for connections.
        """
        rooms = [one for one in self.rooms if known_places(setting) is None or one.is_of_pool]
        own = [one for one in rooms if (one.threads, one.pool_size) == (setting.threads, setting.pool_size)]
        return min(((one.expected(setting), one.is_of_pool) for one in own or rooms), default=(math.inf, False))

    def most(self, setting: Setting) -> float:
        """How many requests all its workers serve at once at most, by what was seen: fewer workers serve no more."""
        rooms = (one for one in self.rooms if one.bounds(setting))
        return min((one.requests * max(setting.processes, one.workers) for one in rooms), default=math.inf)

    def pss_mb(self, setting: Setting) -> float:
        """M1 + (W - 1) m, the law `memory`; 0 while nothing is known."""
        return self.first_mb + (setting.processes - 1) * self.further_mb

    def least_mb(self, setting: Setting) -> float:
        """What it takes at least."""
        return self.first_mb + (setting.processes - 1) * self.least_further_mb

    def most_mb(self, setting: Setting) -> float:
        """What it takes at most: as the law has it, or while that is not known as if all workers were first ones."""
        if self.knows_memory(setting):
            return self.pss_mb(setting)
        count, mb = next(iter(self.weighed.items()), (1, self.first_mb))
        return mb * max(1.0, setting.processes / count)

    def knows_memory(self, setting: Setting) -> bool:
        """Whether two numbers of workers were seen, or just this one."""
        return len(self.weighed) > 1 or setting.processes in self.weighed


def known_places(setting: Setting) -> float | None:
    """How many requests a worker of this class serves at once; None where that depends on the application, or where
    the number of workers or of a worker's threads is no choice, so that nobody says it.
    """
    if not setting.workers:
        return None
    known = {"sync": 1.0, "gthread": float(setting.threads), "gevent": float(GREENLETS)}
    return known.get(setting.worker_class) or None


def parallel(setting: Setting, cores: float) -> float:
    """How many cores it can use: one a worker, and all where the number of workers is its own affair."""
    return min(setting.workers, cores) if setting.workers else cores


def demands(worker_class: str, seen: Sequence[Observation], cores: float, looks: Sequence[Observation] = ()) -> Demands:
    """Of one worker class, from at least one window of any class; what only another class has shown is borrowed.
    `looks` count for memory alone.

    ValueError where no window has answers.
    """
    answered = [one for one in seen if one.answers and one.mean_ms > 0]
    own = [one for one in answered if one.setting.worker_class == worker_class]
    cpu_s, least_s = _cpu(own, answered)
    alone_s, think_s = _alone(answered)
    every = [*answered, *looks]
    weighed = [one for one in every if one.setting.worker_class == worker_class]
    first, further, least = _memory(weighed, every)
    found = Demands(
        wait_s=max(0.0, alone_s - cpu_s),
        cpu_s=cpu_s,
        least_cpu_s=least_s,
        think_s=think_s,
        first_mb=first,
        further_mb=further,
        least_further_mb=least,
        tail=_tail(own or answered),
        skew_s=_skew(answered),
        weighed=_most(_by_load(weighed)),
    )
    return replace(found, rooms=_rooms(own, found, cores))


def _cpu(own: Sequence[Observation], every: Sequence[Observation]) -> tuple[float, float]:
    """CPU seconds a request, and what they may be as little as.

    Of the class' own windows under load, less what the kernel's ticks leave open. Of another class', or of a service
    that has little to do and computes for itself beside, it may be much less.
    """
    loaded = [one for one in own if one.users != 1]
    cpu_s, error_s = _spent(loaded or own or every)
    return cpu_s, max(0.0, cpu_s - error_s) * (1.0 if loaded else UNSURE)


def _spent(seen: Sequence[Observation]) -> tuple[float, float]:
    """All windows together: seconds a request, and what of that is not sure."""
    told = [one for one in seen if one.cpu_ms_per_request is not None]
    answers = sum(one.answers for one in told)
    if not answers:
        return 0.0, 0.0
    spent = math.fsum((one.cpu_ms_per_request or 0.0) * one.answers for one in told) / 1000
    ticks = math.fsum(TICK_S * one.setting.processes for one in told)
    return spent / answers, min(ticks, spent) / answers


def _alone(seen: Sequence[Observation]) -> tuple[float, float]:
    """The response time without any queue, and a user's rest between two answers: seconds.

    Of one user alone; but no mean response time can be shorter than a request's own, so that a clearly shorter one
    under load is nearer to it.
    """
    if not seen:
        raise ValueError("no window has answers")
    alone = [one for one in seen if one.users == 1]
    shortest = min(one.mean_ms for one in seen) / 1000
    own = fmean(one.mean_ms for one in alone) / 1000 if alone else shortest
    rests = [1 / one.throughput_rps - one.mean_ms / 1000 for one in alone if one.throughput_rps]
    rest = min(rests, default=0.0)
    shortest = own if shortest > SHORTER * own else shortest
    return shortest, rest if rest > max(REST * shortest, TICK_S) else 0.0


Weighed = dict[int, float]  # processes of the setting -> PSS at its most, MB


def _memory(own: Sequence[Observation], every: Sequence[Observation]) -> tuple[float, float, float]:
    """PSS of the first worker (with its master) under load, of a further one, and what that one takes at least: MB.

    Where one number of workers alone was seen, a further one takes as much as another class' does, or else as large a
    share as each, so that what is predicted is too much rather than too little; at least it is nothing, since all may
    be shared.
    """
    loads = _by_load(own) or _by_load(every)
    if not loads:
        return 0.0, 0.0, 0.0
    slope = _slope(_by_load(own))
    further = _slope(_by_load(every)) if slope is None else slope
    if further is None:
        count, mb = next(iter(loads[0].items()))
        return mb / count, mb / count, 0.0
    first = fmean(mb - (count - 1) * further for count, mb in loads[0].items())
    return max(0.0, first), further, ALL_ITS_OWN * (slope or 0.0)


def _by_load(seen: Sequence[Observation]) -> list[Weighed]:
    """Of each load, the heaviest first: what fills under it is no worker's more or less."""
    found: dict[tuple[float, int], Weighed] = {}
    for one in seen:
        if one.pss_mb:
            those = found.setdefault((one.rate, one.users), {})
            those[one.setting.processes] = max(those.get(one.setting.processes, 0.0), one.pss_mb)
    return [found[load] for load in sorted(found, reverse=True)]


def _slope(loads: Sequence[Weighed]) -> float | None:
    """MB of a further worker, by least squares over the worker counts of one load, or of all where none has two."""
    most = next((those for those in (*loads, _most(loads)) if len(those) > 1), None)
    if most is None:
        return None
    middle, height = fmean(most), fmean(most.values())
    scale = math.fsum((count - middle) ** 2 for count in most)
    return max(0.0, math.fsum((count - middle) * (mb - height) for count, mb in most.items()) / scale)


def _most(loads: Sequence[Weighed]) -> Weighed:
    """Of all loads together."""
    counts = sorted({count for those in loads for count in those})
    return {count: max(those[count] for those in loads if count in those) for count in counts}


def _skew(seen: Sequence[Observation]) -> float:
    """Seconds, of one user alone; 0 where the median is the larger one."""
    alone = [(one.mean_ms - one.p50_ms) / 1000 for one in seen if one.users == 1 and one.p50_ms]
    return max(0.0, fmean(alone)) if alone else 0.0


def _tail(seen: Sequence[Observation]) -> float:
    loaded = [one.p95_ms / one.mean_ms for one in seen if one.users != 1 and one.p95_ms]
    return max(1.0, fmean(loaded)) if loaded else 1.0


def _rooms(own: Sequence[Observation], found: Demands, cores: float) -> tuple[Room, ...]:
    """X (w + c) / W, for each number of threads and connections with which a window gave clearly less than load, CPU
    and known places allow. Without a pool to choose, a class that says its places has said it all.
    """
    keys = {
        (one.setting.threads, one.setting.pool_size)
        for one in own
        if one.setting.pool_size or known_places(one.setting) is None
    }
    rooms = [room for key in sorted(keys) if (room := _room(key, own, found, cores))]
    return tuple(replace(one, is_any_pool=any(_is_any_pool(one, other) for other in rooms)) for one in rooms)


def _room(key: tuple[int, int], own: Sequence[Observation], found: Demands, cores: float) -> Room | None:
    threads, pool_size = key
    alike = [one for one in own if one.setting.threads == threads]
    those = [one for one in alike if one.setting.pool_size == pool_size]
    short = [one for one in those if one.throughput_rps < LIMITED * _allowed(one, found, cores)]
    if not short:
        return None
    smaller = (one for one in alike if one.setting.pool_size <= pool_size)  # a larger pool has at least their room
    held = found.wait_s + found.cpu_s
    requests = max([1.0, *(one.throughput_rps * held / one.setting.processes for one in smaller)])
    return Room(threads, pool_size, min(one.setting.processes for one in short), requests)


def _is_any_pool(one: Room, other: Room) -> bool:
    """Whether they differ much in connections, and hardly in room."""
    if one.threads != other.threads and (one.is_of_threads or other.is_of_threads):
        return False
    less, more = sorted((one.pool_size, other.pool_size))
    low, high = sorted((one.requests, other.requests))
    return VARIED * less <= more and less > 0 and high <= ALIKE * low


def _allowed(one: Observation, found: Demands, cores: float) -> float:
    """What the load asks for, or less where the CPU or the places of its class give less."""
    held = found.wait_s + found.cpu_s
    cycle, places = held + found.think_s, known_places(one.setting)
    asked = one.rate or (one.users / cycle if cycle else math.inf)
    given = math.inf if places is None or not held else one.setting.processes * places / held
    return min(asked, given, parallel(one.setting, cores) / found.cpu_s if found.cpu_s else math.inf)
