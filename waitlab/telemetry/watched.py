"""What an application asked to be shown beside its requests: its thread limiter, executors and connection pools.

Kept apart from the instruments because applications register before telemetry starts, and when it never does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

MOST_POOLS = 16  # a name is a label value: a bug in an application must not multiply series


@dataclass(frozen=True)
class PoolState:
    """A connection pool at one moment: its bound, the connections in use, and the callers that wait for one."""

    size: int
    used: int
    waiting: int


class WatchedExecutor:
    """Counts what an executor has been given and has not finished.

    Its own idle counter cannot be used: in Python 3.11 it grows with every task that had to wait.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._submit = executor.submit
        self._unfinished = 0
        self._lock = Lock()
        executor.submit = self._counting_submit

    def _counting_submit(self, *call: Any, **named: Any) -> Any:
        with self._lock:
            self._unfinished += 1
        try:
            future = self._submit(*call, **named)
        except BaseException:
            self._finished(None)
            raise
        future.add_done_callback(self._finished)
        return future

    def _finished(self, _: object) -> None:
        with self._lock:
            self._unfinished -= 1

    def state(self) -> PoolState:
        """Its workers, those busy, and the tasks waiting."""
        size, unfinished = self._executor._max_workers, self._unfinished
        return PoolState(size, min(size, unfinished), max(0, unfinished - size))


class Watched:
    """The registered things of this process, the newest of each kind."""

    def __init__(self) -> None:
        self.limiter: Any = None
        self.executor: WatchedExecutor | None = None
        self.worker_threads: WatchedExecutor | int = 0  # gthread's pool; or a count, each busy with one request
        self.pools: dict[str, Callable[[], PoolState]] = {}

    def add_pool(self, name: str, read: Callable[[], PoolState]) -> None:
        """Show a pool; beyond the bound of names a new one is not shown."""
        if name in self.pools or len(self.pools) < MOST_POOLS:
            self.pools[name] = read

    def limiter_state(self) -> PoolState | None:
        """An anyio CapacityLimiter's tokens, those borrowed, and the tasks that wait for one."""
        if self.limiter is None:
            return None
        limiter = self.limiter
        return PoolState(int(limiter.total_tokens), limiter.borrowed_tokens, limiter.statistics().tasks_waiting)


watched = Watched()
