"""How a service can be run: one setting, and all that may be chosen."""

import itertools
from dataclasses import dataclass, replace

ONE_THREAD = ("sync", "gevent", "eventlet", "tornado")  # worker classes whose worker has one: threads say nothing there


@dataclass(frozen=True, order=False)
class Setting:
    """One way to run a service. 0 and "": not a choice here, the service has its own.

    `threads`: those of a worker (gthread), or its tokens where `def` code runs on an ASGI server. `pool_size`: database
    connections of a worker.
    """

    workers: int = 1
    worker_class: str = ""
    threads: int = 0
    pool_size: int = 0

    def __str__(self) -> str:
        parts = [self.worker_class] if self.worker_class else []
        for name, count in (("worker", self.workers), ("thread", self.threads), ("connection", self.pool_size)):
            parts += [f"{count} {name}{'s' if count > 1 else ''}"] if count else []
        return ", ".join(parts) or "as it is"

    @property
    def processes(self) -> int:
        """Its workers; a service that has its own number of them counts as one."""
        return max(1, self.workers)

    @property
    def values(self) -> dict[str, str]:
        """Placeholder -> its text; empty for what is not a choice."""
        fields = (self.workers, self.worker_class, self.threads, self.pool_size)
        return dict(zip(PLACEHOLDERS, (str(value or "") for value in fields), strict=True))


@dataclass(frozen=True)
class Choices:
    """What may be chosen: every combination is a candidate, but for those that would run the same service twice.

    `connections`: that the database gives to all workers together, where that is known; 0 where it is not.
    """

    workers: tuple[int, ...] = (1,)
    worker_class: tuple[str, ...] = ("",)
    threads: tuple[int, ...] = (0,)
    pool_size: tuple[int, ...] = (0,)
    connections: int = 0

    def settings(self) -> tuple[Setting, ...]:
        """Every candidate once; of `workers` the last varies fastest."""
        every = itertools.product(self.worker_class, self.threads, self.pool_size, self.workers)
        found = (Setting(workers, kind, threads, size) for kind, threads, size, workers in every)
        return tuple(dict.fromkeys(self.plain(one) for one in found if self.connects(one)))

    def connects(self, setting: Setting) -> bool:
        """Whether the database has connections for all of its workers."""
        return not self.connections or setting.workers * setting.pool_size <= self.connections

    def plain(self, setting: Setting) -> Setting:
        """The same with one thread where its worker class has no more: gunicorn would make gthread of sync with two."""
        one = setting.threads and setting.worker_class in ONE_THREAD
        return replace(setting, threads=1) if one else setting


PLACEHOLDERS = ("workers", "worker_class", "threads", "pool_size")
