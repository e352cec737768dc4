"""What a prediction may be about: each quantity with its unit in its name, its witness, and how a trial gives it.

A quantity that cannot be computed is None, never 0: a service without workers used no "0 cores".
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import StatisticsError, fmean, linear_regression
from typing import Literal

from waitlab import statistics
from waitlab.trial import Client, Server, Single, Trial, Worker

Of = Callable[[Trial], float | None]
FEWEST_SLICES = 5  # with answers, before a growth is read from them


@dataclass(frozen=True)
class Quantity:
    """One row of the table. `witness`: clients, service, both, or the generator that plays the clients.

    `load`: what an arm must have for it: requests that are asked again and again, any load but single requests
    (stream), single ones, a victim beside the load, connections that users hold, those of one client, or anything.
    `of_machine`: whether the machine tells it of a service that says nothing of itself.
    """

    name: str
    meaning: str
    witness: Literal["clients", "service", "both", "generator"]
    of: Of
    load: Literal["any", "requests", "stream", "singles", "victim", "held", "sse", "websocket"] = "any"
    of_machine: bool = False

    @property
    def outside(self) -> bool:
        """Whether it is known of a service of the user's own, too: by its clients, or by the machine."""
        return self.of_machine or self.witness in ("clients", "generator")


def read(name: str, trial: Trial) -> float | None:
    """A quantity of a trial: one of QUANTITIES, or of the experiment's own functions. None where it has no value."""
    if trial.ended != "measured":
        return None
    try:
        value = QUANTITIES[name].of(trial) if name in QUANTITIES else trial.measured.get(name)
    except (ArithmeticError, StatisticsError):  # of figures that no trial has, as in a file that somebody edited
        return None
    return value if value is not None and math.isfinite(value) else None


def _throughput(trial: Trial) -> float | None:
    client = trial.client
    return _ratio(client.counted - client.failures, client.seconds) if client else None


def _mean(histogram: Mapping[int, int]) -> float | None:
    return _ratio(sum(value * count for value, count in histogram.items()) / 1000, sum(histogram.values()))


def _percentile(q: float, histogram: Mapping[int, int]) -> float | None:
    found = statistics.percentile(histogram, q)
    return found[0] / 1000 if found else None


def _most(histogram: Mapping[int, int]) -> float | None:
    return max((value / 1000 for value, count in histogram.items() if count), default=None)


def _response(of: Callable[[Mapping[int, int]], float | None], trial: Trial) -> float | None:
    return of(trial.client.response_us) if trial.client else None


def _victim(of: Callable[[Mapping[int, int]], float | None], trial: Trial) -> float | None:
    """Of the victim's good answers: one that failed waited for nothing."""
    return of(trial.client.victim_us) if trial.client and not trial.client.victim_failures else None


def _events(of: Callable[[Mapping[int, int]], float | None], name: str, trial: Trial) -> float | None:
    return of(getattr(trial.client, name)) if trial.client else None


def _messages(trial: Trial) -> float | None:
    client = trial.client
    return _ratio(sum(client.round_trip_us.values()), client.seconds) if client else None


def _held(trial: Trial) -> float | None:
    held = trial.client.connections_held if trial.client else None
    return None if held is None else float(held)


def _kb_a_connection(trial: Trial) -> float | None:
    """None without connections, or without a look at the service before the load."""
    held, server = _held(trial), trial.server
    if not (held and server and server.pss_before_bytes and server.workers):
        return None
    grown = sum(worker.pss_bytes for worker in server.workers.values()) - server.pss_before_bytes
    return grown / held / 1000


def _finish(of: Callable[[list[float]], float], trial: Trial) -> float | None:
    """Of the moments at which single requests were answered; None when one of them failed."""
    if not trial.singles or any(not 200 <= single.status < 300 for single in trial.singles):
        return None
    return of([_answered_ms(single) for single in trial.singles])


def _answered_ms(single: Single) -> float:
    return single.answered * 1000


def _spread(values: list[float]) -> float:
    return max(values) - min(values)


def _errors(trial: Trial) -> float | None:
    if trial.client:
        return _ratio(trial.client.failures, trial.client.counted)
    return _ratio(sum(not 200 <= single.status < 300 for single in trial.singles), len(trial.singles))


def _growth(trial: Trial) -> float | None:
    """The slope of response time over the window, each slice at its middle."""
    full = [one for one in trial.slices if one.answers]
    if len(full) < FEWEST_SLICES:
        return None
    return linear_regression([one.at + one.seconds / 2 for one in full], [one.response_s for one in full]).slope


def _served(of: Callable[[Server], float | None], trial: Trial) -> float | None:
    """What the service says of a window in which it completed something."""
    server = trial.server
    return of(server) if server and any(worker.completed for worker in server.workers.values()) else None


def _positive_ms(seconds: float) -> float | None:
    """Milliseconds; 0 is what a service says that does not measure this."""
    return seconds * 1000 if seconds > 0 else None


def _queue(server: Server) -> float | None:
    return server.queue_mean_s * 1000 if server.queue_count else None


def _a_request(of: Callable[[Worker], float], server: Server) -> float | None:
    """A sum over the workers, for each request that they completed."""
    workers = server.workers.values()
    return _ratio(sum(map(of, workers)), sum(worker.completed for worker in workers))


def _cpu_ms(trial: Trial) -> float | None:
    """None also where the kernel's clock ticks were too coarse to see any CPU time. A service of the user's own does
    not say what it completed: there it is of what was answered.
    """
    if trial.outside:
        cpu_s, client = trial.outside.cpu_s, trial.client
        if cpu_s is None or client is None:
            return None
        answered = client.counted + sum(client.victim_us.values()) + client.victim_failures
        return _ratio(cpu_s * 1000, answered) or None
    return _served(partial(_a_request, lambda worker: worker.cpu_s * 1000), trial) or None


def _workers(of: Callable[[list[Worker]], float], trial: Trial) -> float | None:
    return of(list(trial.server.workers.values())) if trial.server and trial.server.workers else None


def _all_cores(trial: Trial) -> float | None:
    if trial.outside:
        cpu_s = trial.outside.cpu_s
        return _ratio(cpu_s, trial.client.seconds) if cpu_s is not None and trial.client else None
    return _cores(sum, trial)


def _pss_mb(trial: Trial) -> float | None:
    if trial.outside:
        return None if trial.outside.pss_bytes is None else trial.outside.pss_bytes / 1e6
    return _workers(lambda workers: sum(worker.pss_bytes for worker in workers) / 1e6, trial)


def _accept_queue(trial: Trial) -> float | None:
    if trial.outside:
        return None if trial.outside.accept_queue_max is None else float(trial.outside.accept_queue_max)
    return _served(lambda server: float(server.accept_queue_max), trial)


def _cores(of: Callable[[list[float]], float], trial: Trial) -> float | None:
    used = _workers(lambda workers: of([worker.cpu_s for worker in workers]), trial)
    return None if used is None or trial.client is None else _ratio(used, trial.client.seconds)


def _in_flight(trial: Trial) -> float | None:
    rate, inside = _throughput(trial), QUANTITIES["server_mean_ms"].of(trial)
    return None if rate is None or inside is None else rate * inside / 1000


def _waiting(trial: Trial) -> float | None:
    cpu, inside = _cpu_ms(trial), QUANTITIES["server_mean_ms"].of(trial)
    return None if cpu is None or inside is None else 1 - cpu / inside


def _generator(trial: Trial) -> float | None:
    return trial.client.cpu_ratio if trial.client and trial.client.cpu_ratio > 0 else None


def little_gap(client: Client) -> float | None:
    """The share of its users' time that is neither a request on its way nor a rest: the generator had it.

    Where a trial does not say what was accounted for, by X (R + Z) / N: off by whatever reaches over the window's ends.
    """
    mean_ms = _mean(client.response_us)
    if mean_ms is None or client.seconds <= 0 or client.users <= 0:
        return None
    by_means_s = client.counted * (mean_ms / 1000 + client.think_s)
    accounted_s = by_means_s if client.accounted_s is None else client.accounted_s
    return 1 - accounted_s / (client.users * client.seconds)


def _little_gap(trial: Trial) -> float | None:
    return little_gap(trial.client) if trial.client else None


def _apart(trial: Trial) -> float | None:
    if trial.client is None or trial.server is None:
        return None
    return abs(trial.client.sent - trial.server.completed - trial.server.failed)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _clients(name: str, meaning: str, of: Of) -> Quantity:
    return Quantity(name, meaning, "clients", of, "requests")


def _singles(name: str, meaning: str, of: Of) -> Quantity:
    return Quantity(name, meaning, "clients", of, "singles")


def _victims(name: str, meaning: str, of: Of) -> Quantity:
    return Quantity(name, meaning, "clients", of, "victim")


def _service(name: str, meaning: str, of: Of, *, of_machine: bool = False) -> Quantity:
    return Quantity(name, meaning, "service", of, of_machine=of_machine)


_TABLE = (
    _clients("throughput_rps", "good answers a second", _throughput),
    _clients("mean_ms", "mean response time, from the intended start", partial(_response, _mean)),
    _clients("p50_ms", "median response time", partial(_response, partial(_percentile, 0.5))),
    _clients("p95_ms", "95th percentile of response time", partial(_response, partial(_percentile, 0.95))),
    _clients("p99_ms", "99th percentile of response time", partial(_response, partial(_percentile, 0.99))),
    _clients("max_ms", "longest response time", partial(_response, _most)),
    _clients("response_growth", "seconds by which response time grows in a second", _growth),
    Quantity("error_ratio", "share of the answers that were failures", "clients", _errors),
    _victims("victim_mean_ms", "mean response time of the light stream beside the load", partial(_victim, _mean)),
    _victims("victim_p50_ms", "median response time of the light stream", partial(_victim, partial(_percentile, 0.5))),
    _victims("victim_p95_ms", "95th percentile of the light stream", partial(_victim, partial(_percentile, 0.95))),
    _victims("victim_p99_ms", "99th percentile of the light stream", partial(_victim, partial(_percentile, 0.99))),
    _victims("victim_max_ms", "longest response time of the light stream", partial(_victim, _most)),
    _singles("first_finish_ms", "when the first of n requests at once was answered", partial(_finish, min)),
    _singles("last_finish_ms", "when the last of n requests at once was answered", partial(_finish, max)),
    _singles("mean_finish_ms", "when they were answered on average", partial(_finish, fmean)),
    _singles("finish_spread_ms", "from the first of n answers at once to the last", partial(_finish, _spread)),
    Quantity(
        "connections_held", "connections that users held all through the window, the fewest", "clients", _held, "held"
    ),
    Quantity(
        "kb_per_connection",
        "by how much the workers' memory grew since before the load, for each connection held",
        "both",
        _kb_a_connection,
        "held",
    ),
    Quantity(
        "first_event_ms",
        "median time from asking for a stream to its first event",
        "clients",
        partial(_events, partial(_percentile, 0.5), "first_event_us"),
        "sse",
    ),
    Quantity(
        "event_gap_p95_ms",
        "95th percentile of the time between two events of a stream",
        "clients",
        partial(_events, partial(_percentile, 0.95), "event_gap_us"),
        "sse",
    ),
    Quantity(
        "round_trip_p95_ms",
        "95th percentile of the time from a WebSocket message to its echo",
        "clients",
        partial(_events, partial(_percentile, 0.95), "round_trip_us"),
        "websocket",
    ),
    Quantity(
        "messages_per_s", "echoes of WebSocket messages a second, of all users", "clients", _messages, "websocket"
    ),
    _service(
        "server_mean_ms",
        "mean time from the application's first line to its answer",
        partial(_served, lambda server: _positive_ms(server.duration_mean_s)),
    ),
    _service(
        "server_p95_ms",
        "95th percentile of the time inside, from the service's own histogram",
        partial(_served, lambda server: _positive_ms(server.duration_p95_s)),
    ),
    _service(
        "queue_mean_ms", "mean time from the intended start to the application's first line", partial(_served, _queue)
    ),
    _service(
        "pool_wait_p95_ms",
        "95th percentile of the wait for a database connection",
        partial(_served, lambda server: _positive_ms(server.pool_wait_p95_s)),
    ),
    _service(
        "task_queue_mean_ms",
        "mean time that a task waited in the task queue for a consumer",
        partial(_served, lambda server: _positive_ms(server.task_queue_mean_s)),
    ),
    _service(
        "loop_lag_max_ms",
        "how late the event loop was at worst, in the window",
        partial(_served, lambda server: _positive_ms(server.loop_lag_max_s)),
    ),
    _service("accept_queue_max", "most connections that waited in the kernel", _accept_queue, of_machine=True),
    _service("cpu_ms_per_request", "CPU time of all workers a request", _cpu_ms, of_machine=True),
    Quantity("cores_used", "CPU seconds of all workers a second", "both", _all_cores, "stream", of_machine=True),
    Quantity(
        "cores_used_per_worker_max",
        "CPU seconds a second of the busiest worker",
        "both",
        partial(_cores, max),
        "stream",
    ),
    _service(
        "threads_per_worker",
        "threads as the kernel counts them, mean of the workers",
        partial(_workers, lambda workers: fmean(worker.os_threads for worker in workers)),
    ),
    _service("pss_mb", "memory of all workers, shared pages divided by their sharers", _pss_mb, of_machine=True),
    _service(
        "pss_mb_per_worker",
        "mean memory of a worker",
        partial(_workers, lambda workers: fmean(worker.pss_bytes for worker in workers) / 1e6),
    ),
    _service(
        "switches_voluntary_per_request",
        "times a worker's threads gave up the CPU to wait",
        partial(_served, partial(_a_request, lambda worker: worker.switches_voluntary)),
    ),
    _service(
        "switches_involuntary_per_request",
        "times the CPU was taken from a worker's threads",
        partial(_served, partial(_a_request, lambda worker: worker.switches_involuntary)),
    ),
    _service(
        "busiest_share",
        "share of the requests that the busiest worker completed",
        partial(
            _served,
            lambda server: (
                max(worker.completed for worker in server.workers.values())
                / sum(worker.completed for worker in server.workers.values())
            ),
        ),
    ),
    Quantity(
        "in_flight", "requests inside the application, by Little's law: X times its mean time", "both", _in_flight
    ),
    Quantity("waiting_ratio", "share of a request's time inside in which it does not compute", "both", _waiting),
    Quantity(
        "generator_cpu_ratio", "share of a core that the busiest load process used", "generator", _generator, "stream"
    ),
    Quantity("little_gap_ratio", "share of the users' time that is neither request nor rest", "generator", _little_gap),
    Quantity("uncounted", "requests by which both witnesses differ, drained", "both", _apart),
)
QUANTITIES: dict[str, Quantity] = {quantity.name: quantity for quantity in _TABLE}
