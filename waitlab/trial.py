"""What one trial recorded, raw, of both witnesses and of the machine: all that a verdict may look at.

A trial is one run of one arm against a fresh service. It is one line of trials.jsonl; units are in the names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Slice:
    """A tenth of the window or less: `at` seconds after its beginning; what was answered in it, and how fast."""

    at: float
    seconds: float
    answers: int
    response_s: float  # the mean of those answers; 0 without any


@dataclass(frozen=True)
class Single:
    """One of at most 20 requests; seconds from the first one's start to sent, taken up by the application, answered."""

    sent: float
    begun: float | None
    answered: float
    status: int


@dataclass(frozen=True)
class Client:
    """Witness 1, what clients waited in the measured window, from the intended start of each request.

    `response_us`: response time in microseconds, to three significant digits -> how many of `counted`, the requests
    answered in the window, failed or not; `failures` are the failed of them. `sent` counts all requests since the load
    began, drained, the victim's too; `unanswered`, of those, are the ones that never got an answer (refused, reset,
    timed out). `cpu_ratio` is the busiest generator process' share of one core, `think_s` the mean think time.
    `accounted_s`: the users' seconds in the window in which a request was on its way or they rested; None where nobody
    was a user, and in older trials, whose `think_s` holds how late requests left too.

    Where users hold connections, `connections_held` is how few they held at any moment of the window, and the victim's
    requests are those that were due in it, whenever they were answered: one that is kept waiting to the end of the load
    counts too. From an event stream come first events and gaps between events, from WebSockets round trips, as they
    came in the window.

    `background_counted` are the answers in the window to requests in the background of the load, `background_failures`
    the failed of them; `sent` has them all.
    """

    users: int
    seconds: float
    counted: int
    failures: int
    sent: int
    think_s: float
    cpu_ratio: float
    response_us: Mapping[int, int]
    late_p99_s: float = 0.0  # how late requests left against their schedule
    late_mean_s: float | None = None  # None in older trials
    unsent: int = 0
    unanswered: int = 0
    in_flight: float | None = None  # the mean of samples taken over the window; scheduled arrivals only
    victim_us: Mapping[int, int] = field(default_factory=dict)
    victim_failures: int = 0
    accounted_s: float | None = None
    connections_held: int | None = None
    first_event_us: Mapping[int, int] = field(default_factory=dict)
    event_gap_us: Mapping[int, int] = field(default_factory=dict)
    round_trip_us: Mapping[int, int] = field(default_factory=dict)
    background_counted: int = 0
    background_failures: int = 0


@dataclass(frozen=True)
class Worker:
    """One worker process over the window: what it completed, and what it cost. Switches and CPU are differences."""

    completed: int
    cpu_s: float
    pss_bytes: int
    os_threads: int
    switches_voluntary: int
    switches_involuntary: int


@dataclass(frozen=True)
class Server:
    """Witness 2, what the service says of the same window; the counts `accepted`.. are of all since the load began."""

    accepted: int
    completed: int
    failed: int
    workers: Mapping[str, Worker]
    duration_mean_s: float
    queue_mean_s: float
    queue_count: int
    duration_p95_s: float = 0.0
    loop_lag_max_s: float = 0.0
    pool_wait_p95_s: float = 0.0
    task_queue_mean_s: float = 0.0
    accept_queue_max: int = 0
    pss_before_bytes: int = 0  # of all workers, before the load; 0 in older trials


@dataclass(frozen=True)
class Outside:
    """What the machine says of a service of the user's own, over the same window: it has no ledger and no metrics.

    Of its whole process tree, with what ended meanwhile; None where its processes cannot be seen. Threads are those of
    the end of the window that had more, PSS that of its end. `accept_queue_max`: most connections that waited.
    """

    cpu_s: float | None = None
    pss_bytes: int | None = None
    processes: int | None = None
    os_threads: int | None = None
    accept_queue_max: int | None = None


@dataclass(frozen=True)
class Machine:
    """What else went on meanwhile. `clock_step_s`: by how much wall and monotonic clock drifted apart.

    `noisy_slices` is the share of slices in which steal, foreign CPU or the probe's spread went beyond its limit.
    """

    cores: int
    service_cores: int
    steal_ratio: float
    foreign_ratio: float
    probe_spread: float
    noisy_slices: float
    clock_step_s: float


@dataclass(frozen=True)
class Trial:
    """One trial. `ended`: "measured", or why not. `service`: what it was started with, its nonce among it.

    `identity`: what the service said of itself before, during and after, each with `nonce`, `code` (a hash of the
    application's source) and `pids` of its live workers. `wrong_answers`: of the `verified` answers, those that were
    not as the contract says. `measured`: what the experiment's own function made of the trial, by quantity; it is
    stored because judging again, perhaps elsewhere, runs nobody's code; `unmeasured` is why a function gave no value.
    `outside` stands in the place of `server` where the service is the user's own.
    `beside`: the arms whose services shared its core, their trials of the same repeat in the same window; none of most.
    """

    arm: str
    repeat: int
    order: int
    seed: int
    began: str
    ended: str
    commands: Mapping[str, str]
    service: Mapping[str, object]
    identity: tuple[Mapping[str, object], ...] = ()
    wrong_answers: tuple[str, ...] = ()
    verified: int = 0
    warm_up_s: float = 0.0
    client: Client | None = None
    server: Server | None = None
    machine: Machine | None = None
    slices: tuple[Slice, ...] = ()
    singles: tuple[Single, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)
    unmeasured: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    outside: Outside | None = None
