"""One measured window of a service, as its clients and as the machine saw it."""

from dataclasses import dataclass

from waitlab.target.settings import Setting


@dataclass(frozen=True)
class Observation:
    """One window of `seconds`, of a closed loop of `users` or of arrivals at `rate` a second; the other is 0.

    `throughput_rps` counts good answers (2xx); `error_ratio` is the share of all others of all `answers`. Response
    times are those of good answers from the moment they were due, 0 without any. CPU, PSS, processes and threads
    are those of the service's process tree, None where it may not be looked at: processes at the window's end,
    threads at the end of it with more, PSS at the most of some looks. `accept_queue_max`: connections that waited
    to be accepted, at their most, None where nobody can look. `generator_cpu_ratio`: the busiest generator process'
    share of a core; `foreign_ratio` and `steal_ratio`: of all the cores' time what others and what the host took;
    `late_p99_ms`: how late requests left against their schedule; `edge_rps`: how far throughput may be from the
    arrivals carried, by what is under way when the window begins and when it ends (standard deviation).
    """

    setting: Setting
    users: int
    rate: float
    seconds: float
    throughput_rps: float
    error_ratio: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    answers: int
    cpu_ms_per_request: float | None
    cores_used: float | None
    pss_mb: float | None
    processes: int
    threads: int
    accept_queue_max: int | None
    generator_cpu_ratio: float
    foreign_ratio: float
    steal_ratio: float
    late_p99_ms: float
    edge_rps: float = 0.0
