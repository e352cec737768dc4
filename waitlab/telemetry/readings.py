"""What is a state and not an event, read when somebody scrapes: a reading that fails fails no scrape."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from waitlab.telemetry import cgroup, costs, ledger, names
from waitlab.telemetry.watched import PoolState, Watched, WatchedExecutor
from waitlab.telemetry.websocket import Sockets

_HELP = {
    names.LEDGER_REQUESTS: "Requests of this slot, by every worker that ever had it.",
    names.ACTIVE_REQUESTS: "Requests in the application now.",
    names.WEBSOCKETS_OPEN: "WebSockets open now; each is one active request too.",
    names.WEBSOCKET_MESSAGES: "Messages of WebSockets.",
    names.LIFESPAN_EVENTS: "Lifespans of this slot's workers: started, and stopped in order.",
    names.LOOP_LAG: "Worst lateness of the event loop in the last seconds, a block that goes on now included.",
    names.TOKENS: "Threads that may run `def` endpoints (anyio's tokens).",
    names.TOKENS_BORROWED: "Tokens in use.",
    names.TOKENS_WAITING: "Tasks that wait for a token.",
    names.EXECUTOR_THREADS: "Threads the default executor may have.",
    names.EXECUTOR_BUSY: "Executor threads at work.",
    names.EXECUTOR_WAITING: "Tasks that wait for an executor thread.",
    names.WORKER_THREADS: "Threads that run requests.",
    names.WORKER_THREADS_BUSY: "Threads that run a request now.",
    names.WORKER_REQUESTS_WAITING: "Connections taken from the accept queue that wait inside the worker for a thread.",
    names.POOL_MAX: "Connections a pool may have.",
    names.POOL_USED: "Connections in use.",
    names.POOL_WAITING: "Callers that wait for a connection.",
    names.WORKER_CPU: "CPU time of the worker's process.",
    names.WORKER_PSS: "Memory of the worker's process, shared pages divided by their sharers.",
    names.WORKER_SWITCHES: "Context switches of the worker's process, all threads.",
    names.WORKER_OS_THREADS: "Threads of the worker's process as the kernel counts them.",
    names.SPANS: "Spans that left this worker, or were lost to a full queue, a full file or a dead endpoint.",
    names.ACCESS_LINES_DROPPED: "Access lines lost because nobody read them in time.",
    names.TELEMETRY_DEGRADED: "1 for each part of this worker's telemetry that does not work.",
    names.ACCEPT_QUEUE: "Connections that wait in the kernel for a worker to accept them.",
    names.ACCEPT_QUEUE_LIMIT: "Connections the kernel lets wait: the backlog, bounded by net.core.somaxconn.",
    names.ACCEPT_QUEUE_OVERFLOWS: (
        "Connections refused a place in any full accept queue of this network namespace: the kernel keeps one count "
        "for all its listeners, so other services on the host count too."
    ),
    names.SERVICE_REQUESTS: "Requests of the whole service: every slot of the ledger, dead workers' too.",
    names.SERVICE_WORKERS: "Workers asked for and alive.",
    names.SERVICE_CPUS: "CPUs that the service may use: a fraction where a quota says so.",
    names.SERVICE_INFO: "1; its labels are the service's settings.",
    names.CGROUP_CPUS: "CPUs that the service's control group gives it time on.",
    names.CGROUP_THROTTLED: "Time that the service's threads were kept from running because that quota was used up.",
    names.CGROUP_MEMORY: "Memory of the service's control group, without file pages that the kernel would give back.",
    names.CGROUP_MEMORY_LIMIT: "Memory it may have before the kernel kills one of its processes.",
    names.CGROUP_OOM_KILLS: "Processes the kernel has killed there for lack of memory.",
}
_log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """One value of one metric, with the labels it has beside service and worker."""

    name: str
    value: float
    labels: Mapping[str, str] = MappingProxyType({})


Source = Callable[[], Iterable[Reading]]


class Readings(Collector):
    """Turns sources into metrics at each scrape; a name that ends in _total is a counter, any other a gauge."""

    def __init__(self, labels: dict[str, str], degraded: set[str]) -> None:
        self._labels = labels
        self._degraded = degraded
        self.sources: list[Source] = [self._own_state]

    def collect(self) -> Iterator[Metric]:
        """Every reading that can be had."""
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for source in reversed(self.sources):  # its own state last: the others may add to it
            try:
                readings = list(source())
            except Exception:
                _log.debug("a reading failed", exc_info=True)
                self._degraded.add(getattr(source, "__name__", "reading").strip("_"))
                continue
            for reading in readings:
                self._add(families, reading)
        yield from families.values()

    def _add(self, families: dict[str, CounterMetricFamily | GaugeMetricFamily], reading: Reading) -> None:
        labels = {**self._labels, **reading.labels}
        family = families.get(reading.name)
        if family is None:
            kind = CounterMetricFamily if reading.name.endswith("_total") else GaugeMetricFamily
            family = families[reading.name] = kind(reading.name, _HELP[reading.name], labels=list(labels))
        family.add_metric(list(labels.values()), reading.value)

    def _own_state(self) -> Iterator[Reading]:
        for reason in sorted(self._degraded):
            yield Reading(names.TELEMETRY_DEGRADED, 1, {"reason": reason})


def of_claim(claim: ledger.Claim) -> Source:
    """The worker's own slot, and what is in flight."""

    def requests() -> Iterator[Reading]:
        for outcome, word in (
            ("accepted", ledger.ACCEPTED),
            ("completed", ledger.COMPLETED),
            ("failed", ledger.FAILED),
        ):
            yield Reading(names.LEDGER_REQUESTS, claim.words[word], {"outcome": outcome})
        yield Reading(names.ACTIVE_REQUESTS, claim.active)

    return requests


def of_loop(sockets: Sockets, claim: ledger.Claim) -> Source:
    """What only a worker with an event loop has: WebSockets, and a life that the application is told of."""

    def kept() -> Iterator[Reading]:
        yield Reading(names.WEBSOCKETS_OPEN, sockets.open)
        yield Reading(names.WEBSOCKET_MESSAGES, sockets.received, {"direction": "received"})
        yield Reading(names.WEBSOCKET_MESSAGES, sockets.sent, {"direction": "sent"})
        yield Reading(names.LIFESPAN_EVENTS, claim.words[ledger.STARTED], {"event": "started"})
        yield Reading(names.LIFESPAN_EVENTS, claim.words[ledger.STOPPED], {"event": "stopped"})

    return kept


def of_watched(watched: Watched, claim: ledger.Claim) -> Source:
    """Thread limits, executors and the threads that run requests."""

    def threads() -> Iterator[Reading]:
        yield from _three(watched.limiter_state(), names.TOKENS, names.TOKENS_BORROWED, names.TOKENS_WAITING)
        executor = watched.executor.state() if watched.executor else None
        yield from _three(executor, names.EXECUTOR_THREADS, names.EXECUTOR_BUSY, names.EXECUTOR_WAITING)
        workers = watched.worker_threads
        state: PoolState | None = None
        if isinstance(workers, WatchedExecutor):
            state = workers.state()
        elif workers:
            state = PoolState(workers, min(workers, claim.active), 0)
        yield from _three(state, names.WORKER_THREADS, names.WORKER_THREADS_BUSY, names.WORKER_REQUESTS_WAITING)

    return threads


def of_pools(watched: Watched) -> Source:
    """Every connection pool the application shows."""

    def pools() -> Iterator[Reading]:
        for name, read in list(watched.pools.items()):
            yield from _three(read(), names.POOL_MAX, names.POOL_USED, names.POOL_WAITING, {"pool": name})

    return pools


def of_process(pid: int) -> Source:
    """What the worker's process costs."""

    def process_facts() -> Iterator[Reading]:
        if (facts := costs.facts(pid)) is not None:
            yield Reading(names.WORKER_CPU, facts.cpu_seconds)
            yield Reading(names.WORKER_PSS, facts.pss_bytes)
            yield Reading(names.WORKER_SWITCHES, facts.voluntary_switches, {"kind": "voluntary"})
            yield Reading(names.WORKER_SWITCHES, facts.involuntary_switches, {"kind": "involuntary"})
            yield Reading(names.WORKER_OS_THREADS, facts.threads)

    return process_facts


def of_cgroup() -> Iterator[Reading]:
    """What the control group allows and has used; nothing where it sets no limit."""
    if (cpu := cgroup.cpu()) is not None:
        yield Reading(names.CGROUP_CPUS, cpu.cpus)
        yield Reading(names.CGROUP_THROTTLED, cpu.throttled_seconds)
    if (memory := cgroup.memory()) is not None:
        yield Reading(names.CGROUP_MEMORY, memory.used_bytes)
        yield Reading(names.CGROUP_MEMORY_LIMIT, memory.limit_bytes)
        yield Reading(names.CGROUP_OOM_KILLS, memory.oom_kills)


def _three(
    state: PoolState | None, size: str, used: str, waiting: str, labels: dict[str, str] | None = None
) -> Iterator[Reading]:
    if state is not None:
        yield Reading(size, state.size, labels or {})
        yield Reading(used, state.used, labels or {})
        yield Reading(waiting, state.waiting, labels or {})
