"""What an application tells the lab about itself; every call is a harmless no-op when telemetry was never started."""

import os
import threading
from collections.abc import Callable
from typing import Any

from waitlab.telemetry import current
from waitlab.telemetry.asgi import MeasuredAsgi
from waitlab.telemetry.spans import outgoing_headers, span
from waitlab.telemetry.watched import PoolState, WatchedExecutor, watched
from waitlab.telemetry.wsgi import MeasuredWsgi, RequestName

__all__ = [
    "PoolState",
    "asgi",
    "outgoing_headers",
    "page",
    "pool_waited",
    "span",
    "start",
    "stop",
    "task_queued",
    "watch_executor",
    "watch_limiter",
    "watch_pool",
    "worker_facts",
    "wsgi",
]


def wsgi(app: Any, request_name: RequestName | None = None, unmeasured: frozenset[str] = frozenset()) -> MeasuredWsgi:
    """The WSGI application, measured once telemetry is started in its process."""
    return MeasuredWsgi(app, request_name, unmeasured)


def asgi(app: Any, request_name: RequestName | None = None, unmeasured: frozenset[str] = frozenset()) -> MeasuredAsgi:
    """The ASGI application, measured once telemetry is started in its process."""
    return MeasuredAsgi(app, request_name, unmeasured)


def watch_limiter(limiter: Any) -> None:
    """Show an anyio CapacityLimiter as the worker's thread-pool tokens."""
    watched.limiter = limiter


def watch_executor(executor: Any) -> None:
    """Show a concurrent.futures executor as the worker's default executor."""
    watched.executor = WatchedExecutor(executor)


def watch_pool(name: str, read: Callable[[], PoolState]) -> None:
    """Show a connection pool under the label `pool`; `read` is called at each scrape, from another thread."""
    watched.add_pool(name, read)


def pool_waited(name: str, seconds: float) -> None:
    """Record how long one caller waited for a pooled connection."""
    if current.worker is not None:
        current.worker.instruments.pool_waited(name, seconds)


def task_queued(seconds: float) -> None:
    """Record how long a task that this worker gave to a queue waited for a consumer."""
    if current.worker is not None:
        current.worker.instruments.task_queued(seconds)


def worker_facts() -> dict[str, object]:
    """This worker's slot (None without telemetry), process id, live threads and the address of its metrics.

    `lifespans` are those of all the workers that had its slot: started, and stopped in order.
    """
    worker = current.worker
    return {
        "worker": worker.claim.number if worker else None,
        "pid": os.getpid(),
        "live_threads": threading.active_count(),
        "listener": worker.listener.url if worker else None,
        "lifespans": worker.lifespans if worker else None,
    }


def page(openmetrics: bool = False) -> bytes:
    """This worker's metrics as text; the first line is a comment that says whose they are."""
    if current.worker is None:
        return b"# telemetry was not started in this process\n"
    return current.worker.instruments.page(openmetrics)


def start(settings: Any) -> None:
    """Begin to measure this process with `worker.WorkerSettings`; called once a worker, after any fork."""
    from waitlab.telemetry.worker import Worker  # noqa: PLC0415  who only reads a ledger needs no instruments

    current.worker = Worker(settings)


def stop() -> None:
    """Take no more scrapes and export the last spans; requests that still run are still counted."""
    if current.worker is not None:
        current.worker.close()
