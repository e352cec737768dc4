"""A rig whose service is simulated event by event and shares no line with the laws, and its tuning."""

import heapq
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import pytest

from waitlab.errors import LabError
from waitlab.runner.cores import Share
from waitlab.target import Choices, Observation, Rig, Setting, Target
from waitlab.tune.answer import Answer, answer
from waitlab.tune.objective import Objective
from waitlab.tune.run import LOOK_S, SECONDS, Budget, tune, windows
from waitlab.tune.search import Knowledge

GUNICORN = Choices((1, 2, 3, 4, 6, 8, 12, 16), ("sync", "gthread"), (1, 4, 8, 16, 32, 64))
UVICORN = Choices((1, 2, 3, 4, 6, 8, 12, 16), ("asgi",))
POOLED = replace(UVICORN, pool_size=(2, 5, 10, 20))
USERS = Objective(users=100)
ORDERS = Target(
    name="orders",
    directory=Path(),
    health="/",
    choices=Choices(),
    kind="command",
    words="gunicorn shop:app --workers {workers} --worker-class {worker_class} --threads {threads}",
)
START_S, LIVE_S, ANSWERS = 1.5, 0.3, 400
ONE_CLASS_MB = {"sync": 16.0, "gthread": 17.0, "gevent": 22.0, "asgi": 29.0}


@dataclass
class Application:
    """What a request does. `room`: requests at once a worker, where its class or its threads do not say. `shared`:
    a pool of so many places that all workers have together, held while a request waits. `has_pool`: each worker has one
    of its setting's size, held likewise. `contention`: the share of its work that a worker more adds to each request's.
    `noise`: of a window's throughput. `own`: workers where they are no choice.
    """

    wait_s: float
    cpu_s: float
    cores: int = 1
    room: float = float("inf")
    shared: float = float("inf")
    noise: float = 0.0
    steal: float = 0.0
    generator: float = 0.3
    errors: float = 0.0
    refuses: tuple[Setting, ...] = ()
    own: int = 1
    has_pool: bool = False
    contention: float = 0.0


IO, COMPUTING, MIXED = Application(0.2, 0.001), Application(0.0, 0.01), Application(0.1, 0.01)


def places(application: Application, setting: Setting) -> float:
    each = {"sync": 1.0, "gthread": float(setting.threads or application.room), "gevent": 1000.0}.get(
        setting.worker_class, application.room
    )
    return (setting.workers or application.own) * each


def cpu_s(application: Application, setting: Setting) -> float:
    return application.cpu_s * (1 + application.contention * ((setting.workers or application.own) - 1))


def run(application: Application, setting: Setting, users: int, rate: float) -> list[tuple[float, float]]:
    """(asked, answered) of requests that wait, then compute: first come, first served at every place."""
    order, answers = count(), []
    workers = setting.workers or application.own
    connections = float(workers * setting.pool_size) if application.has_pool else math.inf
    free = [min(places(application, setting), 1e9), min(application.shared, connections), 0.0]
    free[2] = float(min(workers, application.cores))
    queues: list[deque[float]] = [deque(), deque(), deque()]
    held = (0.0, application.wait_s, cpu_s(application, setting))
    events: list[tuple[float, int, str, int, float]] = []

    def enter(now: float, station: int, asked: float) -> None:
        queues[station].append(asked)
        start(now, station)

    def start(now: float, station: int) -> None:
        while queues[station] and free[station] >= 1:
            free[station] -= 1
            asked = queues[station].popleft()
            if station == 0:
                enter(now, 1, asked)
            else:
                heapq.heappush(events, (now + held[station], next(order), "done", station, asked))

    cycle = application.wait_s + application.cpu_s
    begins = [number / rate for number in range(ANSWERS * 2)] if rate else [n * cycle / users for n in range(users)]
    for at in begins:
        heapq.heappush(events, (at, next(order), "asks", 0, at))
    wanted = ANSWERS * 2 if rate else ANSWERS + 4 * users
    while events and len(answers) < wanted:
        now, _, what, station, asked = heapq.heappop(events)
        if what == "asks":
            enter(now, 0, asked)
            continue
        free[station] += 1
        start(now, station)
        if station == 1:
            enter(now, 2, asked)
        else:
            free[0] += 1
            start(now, 0)
            answers.append((asked, now))
            if not rate:
                heapq.heappush(events, (now, next(order), "asks", 0, now))
    return answers


@dataclass
class SimulatedService:
    rig: "SimulatedRig"
    setting: Setting

    def scale(self, workers: int) -> bool:
        self.setting = Setting(workers, self.setting.worker_class, self.setting.threads, self.setting.pool_size)
        self.rig.now += LIVE_S
        self.rig.scaled += 1
        return self.rig.is_live

    def measure(self, *, users: int = 0, rate: float = 0.0, seconds: float) -> Observation:
        (self.rig.looked if seconds == LOOK_S else self.rig.measured).append((self.setting, users or rate))
        if self.rig.interrupts_at == len(self.rig.measured) and seconds != LOOK_S:
            raise KeyboardInterrupt
        found = observe(self.rig.application, self.setting, users, rate, seconds, self.rig.random)
        self.rig.now += seconds + found.mean_ms / 1000 * 2
        return found

    def pss_mb(self) -> float:
        return memory(self.setting)


@dataclass
class SimulatedRig:
    application: Application
    seed: int = 1
    is_live: bool = True
    interrupts_at: int = 0
    now: float = 0.0
    scaled: int = 0
    alive: int = 0
    started: int = 0
    measured: list[tuple[Setting, float]] = field(default_factory=list)
    looked: list[tuple[Setting, float]] = field(default_factory=list)
    start_s: float = START_S
    refuses_after_s: float = START_S

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        cores = frozenset(range(self.application.cores))
        self.share = Share(cores, frozenset({self.application.cores}), cores)

    @contextmanager
    def serve(self, setting: Setting) -> Iterator[SimulatedService]:
        if setting in self.application.refuses:
            self.now += self.refuses_after_s
            raise LabError(f"{setting}: it does not start")
        self.now += self.start_s
        self.alive += 1
        self.started += 1
        try:
            yield SimulatedService(self, setting)
        finally:
            self.alive -= 1


def memory(setting: Setting) -> float:
    each = ONE_CLASS_MB.get(setting.worker_class, 20.0)
    return 20 + each * setting.workers + 0.05 * setting.workers * setting.threads


def observe(  # noqa: PLR0917
    application: Application, setting: Setting, users: int, rate: float, seconds: float, noise: random.Random
) -> Observation:
    """The middle of a long run, as a window shows it."""
    answers = run(application, setting, users, rate)
    kept = answers[len(answers) // 2 :]
    span = kept[-1][1] - kept[0][1]
    factor = noise.lognormvariate(0, application.noise) if application.noise else 1.0
    throughput = (len(kept) - 1) / span * (factor if not rate else 1.0)
    times = sorted((done - asked) * 1000 / factor for asked, done in kept)
    return Observation(
        setting=setting,
        users=users,
        rate=rate,
        seconds=seconds,
        throughput_rps=throughput * (1 - application.errors),
        error_ratio=application.errors,
        mean_ms=fmean(times),
        p50_ms=times[len(times) // 2],
        p95_ms=times[int(len(times) * 0.95)],
        p99_ms=times[int(len(times) * 0.99)],
        answers=max(1, round(throughput * seconds)),
        cpu_ms_per_request=cpu_s(application, setting) * 1000 / factor,
        cores_used=throughput * cpu_s(application, setting),
        pss_mb=memory(setting),
        processes=setting.workers + 1,
        threads=setting.workers * max(1, setting.threads),
        accept_queue_max=0,
        generator_cpu_ratio=application.generator,
        foreign_ratio=0.0,
        steal_ratio=application.steal,
        late_p99_ms=0.0,
    )


def best(application: Application, settings: tuple[Setting, ...], users: int) -> float:
    """What an exhaustive sweep of the noiseless service finds."""
    return max(truth(application, one, users) for one in settings)


def truth(application: Application, setting: Setting, users: int) -> float:
    quiet = replace(application, noise=0.0, errors=0.0)
    return observe(quiet, setting, users, 0.0, 4.0, random.Random(0)).throughput_rps


def tuned(
    application: Application, choices: Choices, objective: Objective = USERS, seed: int = 1, **how: Any
) -> tuple[Answer, SimulatedRig]:
    """The answer of a whole tuning, and the rig that it used."""
    rig = SimulatedRig(application, seed, **how)
    candidates = choices.settings()
    known = Knowledge(objective, float(application.cores), candidates)
    budget = Budget(SECONDS, windows(len(candidates)), 0.0, lambda: rig.now)
    is_whole = tune(known, cast(Rig, rig), lambda step: None, budget)
    assert rig.alive == 0
    return answer(replace(ORDERS, choices=choices), known, rig.now, is_whole), rig


def seen_as(monkeypatch: pytest.MonkeyPatch, change: Callable[[Observation], Observation]) -> None:
    """Each window as it would be seen if it were otherwise."""
    plain = observe
    monkeypatch.setattr(sys.modules[__name__], "observe", lambda *how: change(plain(*how)))
