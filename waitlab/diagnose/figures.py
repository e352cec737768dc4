"""What was seen of one service in one watch: figures only, so that what they mean can be judged without it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Places:
    """Something of which a request needs one: threads, tokens, connections; in one worker, or in all together.

    `used` and `waiting` are means over the looks; `full_ratio` and `waiting_ratio` the shares of the looks at which
    none was free, and at which somebody waited for one. Of several workers: shares of the looks at each.
    """

    size: float
    used: float
    waiting: float
    full_ratio: float
    waiting_ratio: float

    @property
    def exhausted_ratio(self) -> float:
        """The share of the looks at which none was free for somebody who waited, as far as both are known."""
        return min(self.full_ratio, self.waiting_ratio)


@dataclass(frozen=True)
class WorkerFigures:
    """One worker over the watch. None = not known.

    `cores`: CPU seconds a second, its own children's too; `ready`: seconds for which its busy threads computed, or
    could have and had no core. `late_ratio`: the share of the time for which its event loop was late; `lag_s` the
    worst lag. `in_loop_ratio`: the share of the looks at which its main thread waited for events, as an event loop
    with nothing to do does. `beside`: its threads beside the main one, of which `at_work` did not wait for each
    other. `pools`: database connections; `calls`: those under way to the outside.
    """

    name: str
    cores: float | None = None
    ready: float | None = None
    rps: float | None = None
    in_flight: float | None = None
    late_ratio: float | None = None
    lag_s: float | None = None
    has_loop: bool | None = None
    in_loop_ratio: float | None = None
    at_work: float | None = None
    beside: float | None = None
    threads: Places | None = None  # that run requests: gthread's, or the one of a sync worker
    tokens: Places | None = None
    executor: Places | None = None
    pools: Places | None = None
    calls: Places | None = None

    @property
    def wants(self) -> float:
        """The share of a core that it uses, or would, had it been alone."""
        return max(self.cores or 0.0, self.ready or 0.0)

    @property
    def places(self) -> tuple[Places, ...]:
        """All that a request may have to wait for in this worker."""
        return tuple(one for one in (self.threads, self.tokens, self.executor, self.pools, self.calls) if one)


@dataclass(frozen=True)
class Connections:
    """Connections of clients, as the kernel knows them: means over the looks.

    `unaccepted` wait for a worker, `unread` have sent what nobody has read; `queued_ratio` is the share of the looks at
    which one of them had done so for longer than it takes to be picked up. `answering`: those whose request was read
    and is not answered. `slow` are held up by their clients, who send nothing or bit by bit, or do not take their
    answer; `slow_ratio` is the share of the looks at which there were any.
    """

    unaccepted: float
    unread: float
    queued_ratio: float
    answering: float
    slow: float = 0.0
    slow_ratio: float = 0.0


@dataclass(frozen=True)
class Figures:
    """One watch of `seconds`, in which the service was looked at `looks` times. None = not known.

    Ratios are shares of one. `telemetry`: its workers show their own figures; `shows_pools`: also all of their pools,
    which a service does only where its application says so. `cores`: CPU that it used, in cores;
    `cores_given`: what it may use. `busy_ratio`: how busy these cores were, with whatever; `steal_ratio`: of them what
    another virtual machine took. `generator_ratio`: of one core, what the busiest process that sends the load used.
    `upstream`: how many calls the outside world serves at once, where it says so (a size of 0: as many as come), and
    how many of this service's are under way. `changed`: workers that came or went meanwhile. `awaited`: how many of
    its own calls wait for an answer, and `callee`: for whose most of them do; only where its pools are not shown.
    `host_cores`: how many cores `busy_ratio` and `steal_ratio` are of, 0 where they are the machine's.
    """

    service: str
    seconds: float
    looks: int
    telemetry: bool = False
    shows_pools: bool = False
    workers: tuple[WorkerFigures, ...] = ()
    changed: int = 0
    rps: float | None = None
    error_ratio: float | None = None
    cores: float | None = None
    cores_given: float | None = None
    busy_ratio: float | None = None
    steal_ratio: float | None = None
    accept_queue: float | None = None
    accept_ratio: float | None = None  # the share of the looks at which anybody waited there
    connections: Connections | None = None
    generator: str = ""
    generator_ratio: float | None = None
    upstream: Places | None = None
    callee: str = ""
    awaited: float = 0.0
    host_cores: int = 0

    def together(self, kind: str) -> Places | None:
        """The places of one kind of all workers; None where none has any."""
        found = [one for worker in self.workers if (one := getattr(worker, kind)) is not None]
        if not found:
            return None
        return Places(
            size=sum(one.size for one in found),
            used=sum(one.used for one in found),
            waiting=sum(one.waiting for one in found),
            full_ratio=sum(one.full_ratio for one in found) / len(found),
            waiting_ratio=sum(one.waiting_ratio for one in found) / len(found),
        )
