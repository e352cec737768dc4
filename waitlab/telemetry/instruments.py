"""The instruments that the requests of one worker feed, and the page that shows them."""

from typing import NamedTuple

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, exposition
from prometheus_client.openmetrics import exposition as openmetrics_exposition

from waitlab.telemetry import names
from waitlab.telemetry.watched import MOST_POOLS

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a third more lines that nothing here reads

_MOST_CHILDREN = 512  # (style, workload, status) that an application may name before the rest is "other"


class Answered(NamedTuple):
    """The labelled children that one kind of answer feeds, looked up once."""

    duration: Histogram
    body_bytes: Counter


class Instruments:
    """What the requests of one worker feed."""

    def __init__(self, service: str, worker: str) -> None:
        self.registry = CollectorRegistry()
        self.labels = {names.SERVICE: service, names.WORKER: worker}
        self._values = (service, worker)
        self._duration = self._histogram(
            names.REQUEST_DURATION,
            "From the first line of the application to the last byte of its answer.",
            names.REQUEST_BUCKETS,
            "style",
            "workload",
            "status",
        )
        self._queue = self._histogram(
            names.REQUEST_QUEUE,
            "From the client's intended start (X-Request-Start) to the first line of the application.",
            names.REQUEST_BUCKETS,
            "style",
            "workload",
        )
        self._bytes = Counter(
            names.RESPONSE_BYTES,
            "Bytes of answers' bodies.",
            (names.SERVICE, names.WORKER, "style", "workload"),
            registry=self.registry,
        )
        self._pool_wait = self._histogram(
            names.POOL_WAIT, "How long a caller waited for a pooled connection.", names.REQUEST_BUCKETS, "pool"
        )
        self._task_queue = self._histogram(
            names.TASK_QUEUE, "How long a task of this worker's waited for a consumer.", names.REQUEST_BUCKETS
        )
        self._loop_lag = self._histogram(
            names.LOOP_LAG_DURATION, "How late the event loop ran a timer.", names.LAG_BUCKETS
        )
        self._answered: dict[tuple[tuple[str, str], int], Answered] = {}
        self._queued: dict[tuple[str, str], Histogram] = {}
        self._pools: set[str] = set()
        # There from the start, so that not even a worker's first unknown path makes a series.
        self.answered(names.OTHER, 404)
        self.queued(names.OTHER)

    def _histogram(self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        every = (names.SERVICE, names.WORKER, *labels)
        return Histogram(name, documentation, every, buckets=buckets, registry=self.registry)

    def answered(self, name: tuple[str, str], status: int) -> Answered:
        """The children for an answer, cached: looking labels up costs more than counting."""
        found = self._answered.get((name, status))
        if found is None:
            if len(self._answered) >= _MOST_CHILDREN or not 100 <= status <= 599:
                name, status = names.OTHER, 0
            found = self._answered[name, status] = Answered(
                self._duration.labels(*self._values, *name, status), self._bytes.labels(*self._values, *name)
            )
        return found

    def queued(self, name: tuple[str, str]) -> Histogram:
        """The child for a request's queue time."""
        found = self._queued.get(name)
        if found is None:
            name = name if len(self._queued) < _MOST_CHILDREN else names.OTHER
            found = self._queued[name] = self._queue.labels(*self._values, *name)
        return found

    def pool_waited(self, pool: str, seconds: float) -> None:
        """Record one caller's wait for a connection."""
        if pool in self._pools or len(self._pools) < MOST_POOLS:
            self._pools.add(pool)
            self._pool_wait.labels(*self._values, pool).observe(seconds)

    def task_queued(self, seconds: float) -> None:
        """Record how long one task waited for a consumer."""
        self._task_queue.labels(*self._values).observe(seconds)

    def loop_lag(self) -> Histogram:
        """The child for the lag of the event loop; a worker that has none never asks."""
        return self._loop_lag.labels(*self._values)

    def page(self, openmetrics: bool) -> bytes:
        """All metrics of this worker as text, under a first line that says whose they are."""
        whose = f"metrics of worker {self._values[1] or '?'} of service {self._values[0]} only"
        # The grammar of OpenMetrics knows no free comment: a help line of a family without samples.
        first = f"# HELP lab_page {whose}\n" if openmetrics else f"# {whose}\n"
        return first.encode() + page(self.registry, openmetrics)


def page(registry: CollectorRegistry, openmetrics: bool) -> bytes:
    """All metrics of `registry` as text, in Prometheus' own form or in OpenMetrics, which alone has exemplars."""
    generate = openmetrics_exposition.generate_latest if openmetrics else exposition.generate_latest
    text: bytes = generate(registry)
    return text
