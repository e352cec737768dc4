"""What an application tells the lab about itself; every call is a harmless no-op when telemetry was never started."""

import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PoolState:
    """A connection pool at one moment: its bound, the connections in use, and the callers that wait for one."""

    size: int
    used: int
    waiting: int


def span(name: str, **attributes: Any) -> AbstractContextManager[object]:
    """A span around a wait, inside the current request's trace; nothing unless that request is sampled."""
    return nullcontext()


def outgoing_headers() -> dict[str, str]:
    """The `traceparent` header for a call to another service; empty unless the current request is sampled."""
    return {}


def watch_limiter(limiter: Any) -> None:
    """Show an anyio CapacityLimiter as the worker's thread-pool tokens."""


def watch_executor(executor: Any) -> None:
    """Show a concurrent.futures executor as the worker's default executor."""


def watch_pool(name: str, read: Callable[[], PoolState]) -> None:
    """Show a connection pool under the label `pool`."""


def pool_waited(name: str, seconds: float) -> None:
    """Record how long one caller waited for a pooled connection."""


def worker_facts() -> dict[str, object]:
    """This worker's slot, process id, threads and listener address."""
    return {"worker": None, "pid": os.getpid(), "threads": threading.active_count(), "listener": None}


def page(openmetrics: bool = False) -> bytes:
    """This worker's metrics as text."""
    return b""


def wsgi(app: Any, request_name: Any = None, unmeasured: frozenset[str] = frozenset()) -> Any:
    """The WSGI application, measured once telemetry is started in its process."""
    return app


def asgi(app: Any, request_name: Any = None, unmeasured: frozenset[str] = frozenset()) -> Any:
    """The ASGI application, measured once telemetry is started in its process."""
    return app
