"""The named laws: what theory says of an arm before it runs, as a value with the formula that gave it, filled in.

Symbols: N users, Z think time, w wait and c CPU of a request, S places (workers, threads, tokens ...), X throughput,
R response time, W workers. The closed-loop laws are the asymptotic bounds of operational analysis (Denning and Buzen,
The Operational Analysis of Queueing Network Models, 1978), which a wait that is the same each time reaches exactly.
An input that has to be measured first is a keyword of the law's function, and its formula calls it measured.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from waitlab.capacity import (
    INSIDE,
    Station,
    added,
    asked,
    bottleneck,
    computing,
    counted,
    figure,
    given,
    least,
    milliseconds,
    parallel,
    seconds,
)
from waitlab.case import Case
from waitlab.errors import LabError


@dataclass(frozen=True)
class Predicted:
    """A value in the unit of its quantity, and the formula that gave it, with its numbers and units."""

    value: float
    formula: str


MOST_BLOCKED = 0.75  # share of the time in which blocks that come evenly do not meet yet

Function = Callable[..., Predicted]  # of a Case, and of each measured input by its name


@dataclass(frozen=True)
class Law:
    """One named law. `load`: the form of load it is about. `measured`: each input to be measured -> its quantity."""

    name: str
    quantities: tuple[str, ...]
    load: str
    measured: Mapping[str, str]
    function: Function

    @property
    def summary(self) -> str:
        """The law in one sentence."""
        return (self.function.__doc__ or "").partition("\n")[0]

    def predict(self, case: Case, measured: Mapping[str, float]) -> Predicted:
        """What the law says of one arm. LabError where it says nothing, or an input is not what it takes."""
        _refuse(not getattr(case, self.load), case, f"{self.name} is about a load of {self.load}")
        if measured.keys() != self.measured.keys():
            raise LabError(f"{self.name} takes {', '.join(self.measured) or 'nothing measured'}", code=2)
        for name, value in measured.items():
            if not (value > 0 and math.isfinite(value)):
                raise LabError(
                    f"{self.name} cannot use {name} = {value:g}", "the arm it comes from must have measured it"
                )
        return self.function(case, **measured)


LAWS: dict[str, Law] = {}


def law(*quantities: str, load: str = "users", **measured: str) -> Callable[[Function], Function]:
    """Make a function the law of these quantities."""

    def enter(function: Function) -> Function:
        LAWS[function.__name__] = Law(function.__name__, quantities, load, measured, function)
        return function

    return enter


# A closed loop of users in which waiting is all: c is far below w


@law("throughput_rps")
def concurrency_limit(case: Case) -> Predicted:
    """N users get min(N / (w + Z), S / w) answers a second: so many the load asks for, so many the places give.

    Unit: answers a second. Source: Denning and Buzen. Range: w at least ten times c, and requests shared evenly by the
    workers. Style async without a pool has no S.
    """
    return _least_of(case, 0.0)


@law("mean_ms", "p50_ms")
def response_time(case: Case) -> Predicted:
    """An answer takes N / X - Z, the interactive response time law: w without a queue, else N w / S - Z.

    Unit: milliseconds. Source: Denning and Buzen. Range: as concurrency_limit, once the queue is full (after N w / S);
    first come, first served, every request waits alike, so that mean and median are one.
    """
    thinking = f" - {milliseconds(case.think_s)}" if case.think_s else ""
    queues = [f"{counted(case.users, 'users')} * {milliseconds(one.held_s)} / {one}{thinking}" for one in _places(case)]
    text = ", ".join([milliseconds(case.wait_s), *queues])
    return Predicted((case.users / _throughput(case) - case.think_s) * 1000, f"max({text})" if queues else text)


@law("queue_mean_ms")
def queue_time(case: Case) -> Predicted:
    """A request waits R - w before the application's first line: (N - S) / X without think time.

    Unit: milliseconds. Source: Little, A Proof for the Queuing Formula L = lambda W, 1961. Range: a queue in front of
    the application: WSGI workers and threads, and a blocked loop. What is waited for inside is in server_mean_ms.
    """
    _refuse(_queues_inside(case), case, "the queue is inside the application, so it is in server_mean_ms")
    whole = response_time(case)
    _refuse(whole.value <= case.wait_s * 1000, case, "no queue forms: say at_most")
    return Predicted(whole.value - case.wait_s * 1000, f"{whole.formula} - {milliseconds(case.wait_s)}")


@law("server_mean_ms")
def service_time(case: Case) -> Predicted:
    """The server itself sees only w where the queue stands in front of it, and all of R where it stands inside.

    Unit: milliseconds. Range: as response_time. What the client waited beyond it is the queue that no histogram inside
    the server has.
    """
    if _queues_inside(case):
        return response_time(case)
    return Predicted(case.wait_s * 1000, milliseconds(case.wait_s))


@law("in_flight")
def busy_places(case: Case) -> Predicted:
    """X w requests are being served at once, so that many workers are needed: min(S, N w / (w + Z)).

    Unit: requests. Source: Little. Range: as concurrency_limit, with the queue in front of the application. 20 users
    who think 1 s between answers of 0.2 s need 3.3 workers, not 20.
    """
    _refuse(_queues_inside(case), case, "what queues inside the application is counted with what is served")
    _refuse(case.wait_s <= 0, case, "nothing waits")
    users = f"{counted(case.users, 'users')} * {seconds(case.wait_s)} / {added(case.wait_s, case.think_s)}"
    return Predicted(_throughput(case) * case.wait_s, least([users, *map(str, _places(case))]))


@law("victim_p50_ms")
def victim_queue(case: Case) -> Predicted:
    """Who needs one of S full places waits for N - S + 1 answers to others, at S / w a second.

    Unit: milliseconds. Source: first come, first served; on a blocked loop a round and a half, 1.5 N w / S: it looks
    for requests once a round of N w, and epoll keeps the users' connections at the head of its list. So who came at any
    moment waits half a round for the look and then a whole one (measured: 1.53 to 1.59). Range: no think time; a
    light request that needs the same place, on a connection that is open already; answers spread evenly over w. Where
    all places become free at one moment it may be up to w more.
    """
    place = bottleneck(case)
    if place is None or case.think_s or case.users <= place.count:
        raise _unfit(case, "its places are never all taken: say at_most")
    if case.style == "blocked":
        text = f"1.5 * {counted(case.users, 'users')} * {milliseconds(place.held_s)} / {place}"
        return Predicted(1500 * case.users * place.held_s / place.count, text)
    ahead = case.users - place.count + 1
    text = f"({counted(case.users, 'users')} - {place} + 1) * {milliseconds(place.held_s)} / {place.count}"
    return Predicted(ahead * place.held_s / place.count * 1000, text)


@law("loop_lag_max_ms")
def blocked_loop_lag(case: Case) -> Predicted:
    """A blocked loop runs its timers once a round, when all N have had their w.

    Unit: milliseconds. Source: asyncio runs all that is ready before it looks for more (BaseEventLoop._run_once).
    Range: one worker, style blocked, no think time; a round may be one request short.
    """
    _refuse(case.style != "blocked" or case.workers > 1 or case.think_s > 0, case, "it is about one blocked event loop")
    return Predicted(case.users * case.wait_s * 1000, f"{counted(case.users, 'users')} * {milliseconds(case.wait_s)}")


@law("accept_queue_max")
def accept_queue(case: Case) -> Predicted:
    """Those that no worker has accepted wait in the kernel, as many as there is room for: min(N - W, B + 1).

    Unit: connections. Source: Linux, sk_acceptq_is_full: a queue is full when it is longer than the backlog B. Range:
    workers that accept one connection at a time (sync), no think time, B below the kernel's own net.core.somaxconn.
    """
    _refuse(case.worker_class != "sync", case, "its workers accept connections before they serve them")
    _refuse(case.users <= case.workers or case.think_s > 0, case, "its workers are never all taken: say at_most")
    waiting = f"{counted(case.users, 'users')} - {counted(case.workers, 'workers')}"
    text = f"min({waiting}, {figure(case.backlog)} backlog + 1)"
    return Predicted(min(case.users - case.workers, case.backlog + 1), text)


# n single requests at once, each of one wait


@law("first_finish_ms", load="concurrent")
def first_finish(case: Case) -> Predicted:
    """The first of n requests is answered after w, however the others wait.

    Unit: milliseconds from the first request's start. Range: an idle service, c far below w.
    """
    return Predicted(finish_s(case, 1) * 1000, milliseconds(case.wait_s))


@law("last_finish_ms", load="concurrent")
def last_finish(case: Case) -> Predicted:
    """The last of n requests is answered after n / S rounds of w, rounded up: one where all overlap, n where none do.

    Unit: milliseconds from the first request's start. Range: as first_finish, with requests shared evenly by the
    workers.
    """
    rounds = [f"ceil({counted(case.concurrent, 'requests')} / {place}) * " for place in _places(case)]
    return Predicted(finish_s(case, case.concurrent) * 1000, f"{''.join(rounds)}{milliseconds(case.wait_s)}")


@law("mean_finish_ms", load="concurrent")
def mean_finish(case: Case) -> Predicted:
    """On average n requests are answered after the mean of their rounds of w, the k-th one's being k / S, rounded up.

    Unit: milliseconds from the first request's start. Range: as last_finish.
    """
    rounds = [_round(case, k) for k in range(1, case.concurrent + 1)]
    text = f"({' + '.join(map(str, rounds))}) * {milliseconds(case.wait_s)} / {counted(len(rounds), 'requests')}"
    return Predicted(sum(rounds) * case.wait_s / len(rounds) * 1000, text)


# CPU: what a request computes is measured, in an arm that the experiment names


@law("throughput_rps", cpu_ms="cpu_ms_per_request")
def closed_loop(case: Case, cpu_ms: float) -> Predicted:
    """N users get min(N / (w + c + Z), S / (w + c), cores / c) answers a second.

    Unit: answers a second. Source: the same bounds, with the CPU as one place more. Range: any c; where two limits
    meet, near the knee, a real service stays below both. Cores are those that the workers' GILs let them use.
    """
    predicted = _least_of(case, cpu_ms / 1000)
    return Predicted(predicted.value, f"{predicted.formula}, {_said(cpu_ms)}")


@law("mean_ms", "p50_ms", cpu_ms="cpu_ms_per_request")
def closed_loop_response(case: Case, cpu_ms: float) -> Predicted:
    """An answer takes N / X - Z with the X of closed_loop: N c / cores - Z where the CPU is the limit.

    Unit: milliseconds. Source: the interactive response time law. Range: as closed_loop; the median only where all
    requests are alike.
    """
    inner = _least_of(case, cpu_ms / 1000)
    thinking = f" - {milliseconds(case.think_s)}" if case.think_s else ""
    text = f"{counted(case.users, 'users')} / {inner.formula} * 1000 ms/s{thinking}, {_said(cpu_ms)}"
    return Predicted((case.users / inner.value - case.think_s) * 1000, text)


@law("throughput_rps", cpu_ms="cpu_ms_per_request")
def cpu_capacity(case: Case, cpu_ms: float) -> Predicted:
    """CPU-bound answers come at min(W, cores) / c a second: a worker uses one core, and there are no more than cores.

    Unit: answers a second. Source: the utilisation law, U = X c (Denning and Buzen). Range: more users than workers,
    w = 0, and a machine that gives what it promises: on a shared one judge cores_used or CPU a request instead.
    """
    text = f"{counted(computing(case), 'cores')} / {milliseconds(cpu_ms / 1000)} * 1000 ms/s, {_said(cpu_ms)}"
    return Predicted(computing(case) / cpu_ms * 1000, text)


@law("cores_used")
def cores_limit(case: Case) -> Predicted:
    """CPU-bound work uses min(W, cores) cores: each process has one GIL, and threads add none unless they release it.

    Unit: cores. Source: the utilisation law. Range: more users than can compute at once, w = 0, and a machine that
    gives the cores it promises.
    """
    return Predicted(computing(case), f"min({parallel(case)} at once, {counted(case.cores, 'cores')})")


@law("pss_mb", one_worker_mb="pss_mb", two_workers_mb="pss_mb")
def memory(case: Case, one_worker_mb: float, two_workers_mb: float) -> Predicted:
    """W workers need M1 + (W - 1) m, m being what the second one added to the first.

    Unit: MB of PSS, all workers together. Source: processes share only what they were born with. Range: one
    application, lightly loaded alike; the further W is from two, the more an error of m counts.
    """
    further = two_workers_mb - one_worker_mb
    text = (
        f"{figure(one_worker_mb)} MB + ({counted(case.workers, 'workers')} - 1) * {figure(further)} MB, both measured"
    )
    return Predicted(one_worker_mb + (case.workers - 1) * further, text)


# Scheduled arrivals, which wait for no answer


@law("throughput_rps", load="rate")
def open_loop(case: Case) -> Predicted:
    """Scheduled arrivals are answered as they come, until the places give no more: min(lambda, S / w).

    Unit: answers a second. Source: what goes in comes out. Range: as concurrency_limit, with nothing refused.
    """
    return _least_of(case, 0.0)


@law("response_growth", load="rate")
def backlog_growth(case: Case) -> Predicted:
    """Over capacity each answer is later than the one before by 1 - mu / lambda of the time between them.

    Unit: seconds of response time a second, by the moment of the answer (by that of the request: lambda / mu - 1).
    Source: the backlog grows by lambda - mu a second. Range: lambda above the capacity mu = S / w, nothing refused,
    first come, first served: a blocked loop answers whoever it has a connection of, and lets others wait ever longer
    (measured: 7 s for some, while half waited less than 0.5 s).
    """
    _refuse(case.style == "blocked", case, "a blocked loop does not answer in the order of arrival: say at_least")
    predicted = _least_of(case, 0.0)
    _refuse(predicted.value >= case.rate, case, "below capacity no backlog grows: say at_most")
    return Predicted(1 - predicted.value / case.rate, f"1 - {predicted.formula} / {asked(case).text}")


@law("loop_lag_max_ms", load="rate")
def blocked_once_lag(case: Case) -> Predicted:
    """A loop that is blocked for w runs a timer that falls due meanwhile by as much as w late.

    Unit: milliseconds. Source: as blocked_loop_lag. Range: one worker, style blocked; blocks that do not meet (lambda w
    far below 1), and enough of them that one begins shortly before a tick of the probe, which come at random, is due; w
    above what the machine itself adds, some milliseconds where others compute on it.
    """
    _refuse(case.style != "blocked" or case.workers > 1, case, "it is about one blocked event loop")
    _refuse(case.rate * case.wait_s > MOST_BLOCKED, case, "its blocks meet: send fewer")
    return Predicted(case.wait_s * 1000, milliseconds(case.wait_s))


# What no single trial measures, but sizes and explains a sweep


def finish_s(case: Case, k: int) -> float:
    """When the k-th of n requests that begin together is answered, in seconds."""
    return _round(case, k) * case.wait_s


def knee(wait_s: float, cpu_s: float, cores: float = 1.0) -> float:
    """How many threads, users or sync workers keep `cores` busy: cores (w + c) / c. More gain nothing.

    Source: where the lines S / (w + c) and cores / c meet. Range: c > 0; the threads of one process have one core.
    """
    return cores * (wait_s + cpu_s) / cpu_s


def workers_needed(users: int, wait_s: float, think_s: float) -> int:
    """The sync workers with which no user queues: N w / (w + Z), rounded up. Source: Little. Range: steady arrivals."""
    return math.ceil(users * wait_s / (wait_s + think_s))


def _least_of(case: Case, cpu_s: float) -> Predicted:
    """The throughput that the load asks for, or less where a place or the CPU gives less."""
    limits = [asked(case, cpu_s), *given(case, cpu_s)]
    smallest = min(limit.per_s for limit in limits)
    _refuse(math.isinf(smallest), case, "nothing waits, so that CPU is the limit: closed_loop takes it as measured")
    return Predicted(smallest, least([limit.text for limit in limits]))


def _throughput(case: Case) -> float:
    return _least_of(case, 0.0).value


def _places(case: Case) -> list[Station]:
    """The place that is full first, if there is one."""
    found = bottleneck(case)
    return [found] if found else []


def _queues_inside(case: Case) -> bool:
    """Whether requests queue where the application has already begun with them."""
    return any(place.unit in INSIDE for place in _places(case))


def _round(case: Case, k: int) -> int:
    """In which round of S requests the k-th is served."""
    return max((math.ceil(k / place.count) for place in _places(case)), default=1)


def _said(cpu_ms: float) -> str:
    return f"with {figure(cpu_ms)} ms CPU as measured"


def _refuse(unfit: bool, case: Case, why: str) -> None:
    if unfit:
        raise _unfit(case, why)


def _unfit(case: Case, why: str) -> LabError:
    load = f"{case.rate:g} arrivals/s" if case.rate else f"{case.users or case.concurrent} at once"
    return LabError(f"the law does not hold for /{case.style}/{case.workload}, {load}", why, 2)
