"""One tuning: demands first, then the candidates that matter, then the best of them again, within a budget."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import TracebackType

from waitlab.errors import LabError
from waitlab.target.answers import Refusal
from waitlab.target.observation import Observation
from waitlab.target.rig import Rig
from waitlab.target.service import Service
from waitlab.target.settings import Setting
from waitlab.target.starting import START_A_WORKER_SECONDS, START_SECONDS, STOP_A_WORKER_SECONDS, STOP_SECONDS
from waitlab.tune import search
from waitlab.tune.objective import Objective
from waitlab.tune.predicted import Predicted
from waitlab.tune.search import FEW_USERS, Knowledge

SECONDS = 165.0  # in all; what is under way when they are over is no longer than `GRACE_S`
GRACE_S = 15.0
SWEEP_REPEATS, SHARE = 3, 1 / 4  # an exhaustive sweep measures each candidate so often, and we a quarter of that
A_HANDFUL, FEWEST_WINDOWS = 5, 8  # of so many candidates a quarter is too few for demands, one or two, and repeats
PROBE_S, WINDOW_S, LONGEST_S = 2.0, 3.0, 10.0
ANSWERS, ANSWERS_OF_P95, FEWEST_ANSWERS = 60, 220, 5  # p95: ten beyond it, as rule G10 asks
FIRST_GUESS_S = 8.0  # for a window, with the start before it
LOOK_S, LONGEST_LOOK_S = 1.0, 8.0  # at the memory of one worker more, and with the start before it
MOST_FAILED = 3  # candidates that cannot be measured, and none that can: what ails them will ail the next one too

Told = Callable[["Step"], None]


@dataclass(frozen=True)
class Step:
    """Where a tuning is: `done` of at most `of` windows, this one `doing` something; `left_s` of its time is left."""

    done: int
    of: int
    doing: str
    left_s: float


@dataclass
class Budget:
    """What a tuning may take. `windows` are those that are measured, of whatever load."""

    seconds: float
    windows: int
    began: float
    now: Callable[[], float] = time.monotonic

    @property
    def left_s(self) -> float:
        """Seconds that are left."""
        return self.seconds - (self.now() - self.began)


def windows(candidates: int) -> int:
    """How many windows a tuning may measure: a quarter of what an exhaustive sweep would, but of a handful."""
    return FEWEST_WINDOWS if candidates <= A_HANDFUL else math.floor(candidates * SWEEP_REPEATS * SHARE)


class Bench(AbstractContextManager["Bench"]):
    """One service at a time. Workers are taken away live where the server can. A service that needs more is started
    anew where it is ours to start: a worker that is added gets few connections, since its elders accept faster.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._open: AbstractContextManager[Service] | None = None
        self._service: Service | None = None
        self._setting: Setting | None = None
        self._is_live = False

    def measure(self, setting: Setting, users: int, rate: float, seconds: float) -> Observation:
        """A window of this setting; LabError as the rig has them."""
        found = self._serving(setting).measure(users=users, rate=rate, seconds=seconds)
        return replace(found, setting=setting)  # one that runs already tells of workers that may be no choice

    def _serving(self, setting: Setting) -> Service:
        if self._service and self._setting == setting:
            return self._service
        if self._service and self._takes_workers_away(setting):
            self._is_live = self._service.scale(setting.workers)
            if self._is_live:
                self._setting = setting
                return self._service
        self.close()
        opened = self._rig.serve(setting)
        self._service, self._open, self._setting = opened.__enter__(), opened, setting
        return self._service

    def starts(self, setting: Setting) -> bool:
        """Whether this setting has to be started: until it took another number of workers live, for that too."""
        return self._setting != setting and not (self._is_live and self._takes_workers_away(setting))

    def _takes_workers_away(self, setting: Setting) -> bool:
        """Whether that is all it takes."""
        mine = self._setting
        return mine is not None and mine.workers > setting.workers and replace(mine, workers=setting.workers) == setting

    def close(self) -> None:
        """End the service that runs."""
        opened, self._open, self._service, self._setting = self._open, None, None, None
        if opened:
            opened.__exit__(None, None, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def tune(known: Knowledge, rig: Rig, told: Told, budget: Budget) -> bool:
    """Measure what is to be known, into `known`; whether it came to its end (False: interrupted, with what there is).

    LabError where the service cannot be measured at all. The rig's own `with` is the caller's.
    """
    with Bench(rig) as bench:
        tuning = _Tuning(known, bench, told, budget)
        try:
            tuning.run()
        except KeyboardInterrupt:
            return False
    return True


class _Tuning:
    """The steps, with what they share."""

    def __init__(self, known: Knowledge, bench: Bench, told: Told, budget: Budget) -> None:
        self.known, self.bench, self.told, self.budget = known, bench, told, budget
        self.took: list[float] = []
        self.beside: list[float] = []  # of that, what was no window: a start, the load's begin and end
        self.failed_in_a_row = 0
        self.failure: LabError | None = None
        self.looked: set[str] = set()

    def run(self) -> None:
        """All of it, in order. A round may show that the best was none: then what it had ruled out matters again."""
        self._demands()
        self._search()
        while not search.is_settled(self.known) and self._round():
            self._search()

    def _search(self) -> None:
        """The candidates that matter, until none does or the budget is spent."""
        while (setting := search.following(self.known)) and self._is_time(setting):
            self._candidate(setting)
        if self.failure and not self.known.seen:
            raise self.failure

    def _demands(self) -> None:
        """The response time of one user alone; and whether a worker has room for several, where its class is silent."""
        setting = search.first(self.known.candidates)
        for seconds in (PROBE_S, LONGEST_S):
            alone = self._window(setting, 1, 0.0, seconds, "one user alone")
            self.known.probes.append(alone)
            if alone.answers >= FEWEST_ANSWERS:
                break
        self._must_tell(alone)
        for one in search.unknown_rooms(self.known.candidates):
            few = min(FEW_USERS, self.known.objective.users or FEW_USERS)
            seconds = max(PROBE_S, min(LONGEST_S, FEWEST_ANSWERS * alone.mean_ms / 1000))
            self.known.probes.append(self._window(one, few, 0.0, seconds, f"{few} users"))
        self._look(self.known.probes[-1])

    def _must_tell(self, alone: Observation) -> None:
        """LabError where one user alone shows that nothing can be said of the objective."""
        if not alone.mean_ms:
            message = f"one user alone gets no good answer within {LONGEST_S:.0f} s"
            raise LabError(message, "a tuning of three minutes is for requests that take less: see the service's log")
        if self.known.objective.memory_mb and alone.pss_mb is None:
            message = "the memory of its processes cannot be seen: they are another user's, elsewhere, or in containers"
            raise LabError(message, "leave --memory-mb out, or tune as the user who runs it, beside it", 122)

    def _candidate(self, setting: Setting) -> None:
        """One window under the objective's load. A setting that cannot be measured is a finding, unless all are so."""
        self.known.foretold.setdefault(setting, self.known.predictions()[setting])
        try:
            found = self._loaded(setting)
        except Refusal:
            raise
        except LabError as error:
            self._failed(setting, error)
            return
        self.failed_in_a_row = 0
        self.known.seen.setdefault(setting, []).append(found)
        self._look(found)

    def _look(self, found: Observation) -> None:
        """The memory of one worker more under the same load, once for each class. It is none of the windows, and all
        that it shows is memory.
        """
        kind, other = found.setting.worker_class, search.one_more(self.known, found.setting) if found.pss_mb else None
        if other is None or kind in self.looked:
            return
        seconds = LOOK_S + (max(self.beside) if self.bench.starts(other) else self.beside[-1])
        if seconds > LONGEST_LOOK_S or self.budget.left_s < LONGEST_LOOK_S + GRACE_S:
            self.known.unweighed[kind] = f"a look at {other} would take {seconds:.0f} s"
            return
        self.looked.add(kind)
        try:
            look = self.bench.measure(other, found.users, found.rate, LOOK_S)
        except Refusal:
            raise
        except LabError as error:
            self.known.unweighed[kind] = f"{other}: {error.message}"
            self.bench.close()
            return
        _must_have_taken(look, self.known)
        self.known.looks.append(look)
        self.known.unweighed.pop(kind, None)

    def _loaded(self, setting: Setting) -> Observation:
        objective, seconds = self.known.objective, window_s(self.known.foretold[setting], self.known.objective)
        found = self._window(setting, objective.users, objective.rate, seconds, str(setting))
        if not found.answers:
            raise LabError(f"nothing was answered in {seconds:.0f} s", "ask for less: --users, --rate")
        return found

    def _failed(self, setting: Setting, error: LabError) -> None:
        self.failed_in_a_row += 1
        self.known.failed[setting], self.failure = error.message, error
        # It fails in one of three: none to recommend. The one that failed is a window that was spent, too.
        self.known.dropped += len(self.known.seen.pop(setting, ())) + 1
        if self.failed_in_a_row == MOST_FAILED and not self.known.seen:
            raise error
        self.bench.close()

    def _round(self) -> bool:
        """The finalists in turn; False when the budget is spent."""
        for setting in search.turn(self.known):
            if not self._is_time(setting):
                return False
            self._candidate(setting)
        return True

    def _window(self, setting: Setting, users: int, rate: float, seconds: float, doing: str) -> Observation:
        self.told(Step(self.known.windows, self.budget.windows, doing, self.budget.left_s))
        began = self.budget.now()
        try:
            found = self.bench.measure(setting, users, rate, seconds)
        finally:  # one that hangs at its start takes time, too
            self.took.append(self.budget.now() - began)
        self.beside.append(self.took[-1] - found.seconds)
        _must_have_taken(found, self.known)
        return found

    def _is_time(self, setting: Setting) -> bool:
        """Whether another window fits into the budget, with the queue that has to fill before it."""
        if self.known.windows >= self.budget.windows:
            return False
        is_new = setting not in self.known.seen  # one that has started will again
        if is_new and self.bench.starts(setting) and self.budget.left_s + GRACE_S < _longest_start_s(setting):
            return False
        expected = self.known.predictions()[setting]
        usual = max(self.took[-3:], default=FIRST_GUESS_S)
        fills = self.known.objective.users / expected.expected_rps if expected.expected_rps else 0.0
        return self.budget.left_s >= max(usual, 2 * fills + window_s(expected, self.known.objective))


def _longest_start_s(setting: Setting) -> float:
    """Until a setting that does not start is given up and gone."""
    of_worker = START_A_WORKER_SECONDS + STOP_A_WORKER_SECONDS
    longest = START_SECONDS + STOP_SECONDS + of_worker * setting.workers
    return min(longest, SECONDS / 2)  # or else a few dozen workers could never be started


def _must_have_taken(found: Observation, known: Knowledge) -> None:
    """Refusal where twice as many workers are no more processes: something else sets their number, and the figures of
    all settings are those of one.
    """
    for one in known.observations:
        less, more = sorted((found.setting, one.setting), key=lambda setting: setting.workers)
        is_doubled = less.worker_class == more.worker_class and 0 < 2 * less.workers <= more.workers
        if is_doubled and found.processes == one.processes > 0:
            message = f"it has {found.processes} processes with {less} as with {more}: something else sets their number"
            raise Refusal(message, "let {workers} set it, and not gunicorn.conf.py, WEB_CONCURRENCY or a script", 2)


def window_s(predicted: Predicted, objective: Objective) -> float:
    """As long as the answers that are wanted take, within bounds."""
    wanted = ANSWERS_OF_P95 if objective.p95_ms else ANSWERS
    rate = objective.value(predicted.expected_rps)
    return min(LONGEST_S, max(WINDOW_S, wanted / rate)) if rate else WINDOW_S
