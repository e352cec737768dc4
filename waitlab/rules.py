"""The rules G0-G11, each a function of one trial and the load that drove it: its figure, its limit, what it says.

Where the trial lacks what a rule needs it raises Missing, which is void and never a pass. docs/validity.md says where
each limit comes from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from waitlab import quantities, statistics
from waitlab.experiment import Load
from waitlab.trial import Client, Machine, Server, Trial

Verdict = Literal["pass", "warn", "void", "skip"]

THROUGHPUT, LATENCY, CPU, CORES, SCALING = "throughput", "latency", "cpu", "cores", "scaling"
BEYOND_DOUBT = "beyond doubt"  # noise so large that no allowance for it helps

LITTLE_WARN, LITTLE_LIMIT = 0.01, 0.03
GENERATOR_LIMIT = 0.70
GENERATOR_SHARED_LIMIT = 0.10  # where the service needs every core
WITNESSES_APART, QUEUE_EXPLAINS = 1.10, 0.10
RESOLUTION_S = 0.001  # below this, what lies between client and handler is the wire and not a queue
PHYSICS_SLACK = 1.02
NOISY_LIMIT, IO_STEAL_LIMIT = 0.20, 0.20
# Of all CPU time. With more of it in other hands, 100 waits a second fell to 27-94 % of the law; with less, to 85-99 %.
IO_FOREIGN_LIMIT = 0.50
# Of all CPU time, taken by the hypervisor and by others: of two cores, at most a tenth of the service's own.
CORES_LIMIT = 0.05
MOST_LOST = 0.9
CPU_BOUND = 0.5  # of a core by one worker, or of the service's cores by all
CLOCK_LIMIT_S = 0.05
WARM_UP_S, WARM_UP_SLACK = 2.0, 0.95
DRIFT_LIMIT, DRIFT_P, HALVES_LIMIT = 0.03, 0.01, 2.0
ERROR_LIMIT = 0.001
PERCENTILES: Mapping[str, float] = {"p50": 0.5, "p75": 0.75, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
HIGHEST = frozenset({"p99", "p999"})
# Of what a client that holds its connection sees again and again: what to call it, and which histogram has it.
EVENTS: Mapping[str, Mapping[str, str]] = {
    "sse": {"event_gap": "event_gap_us"},
    "websocket": {"round_trip": "round_trip_us"},
}
NO_LEDGER = "a service of your own does not say what it took and finished"
OF_ONE_WORKER = frozenset({"worker", "pid", "live_threads", "listener"})  # of /about: whichever worker answered


@dataclass(frozen=True)
class Seen:
    """A rule's answer; `voids` where it differs from what the rule's row in RULES says."""

    verdict: Verdict
    says: str
    figure: float | None = None
    limit: float | None = None
    voids: frozenset[str] | None = None


class Missing(Exception):
    """The trial lacks what a rule needs."""


def cpu_bound(trial: Trial) -> bool:
    """Whether the service computed more than it waited: one worker over half a core, or all over half of the cores.

    A trial that does not say counts as CPU-bound: the stricter limits hold for it. Of a service of the user's own all
    that is known is known of all its processes: then all of them over half a core.
    """
    if trial.outside:
        used = quantities.read("cores_used", trial)
        return used is None or used > CPU_BOUND
    if not (trial.server and trial.machine and trial.client and trial.client.seconds > 0 and trial.server.workers):
        return True
    cores = [worker.cpu_s / trial.client.seconds for worker in trial.server.workers.values()]
    return max(cores) > CPU_BOUND or sum(cores) > CPU_BOUND * trial.machine.service_cores


def mean_s(histogram_us: Mapping[int, int]) -> float:
    """The mean in seconds of a histogram of microseconds; it must not be empty."""
    return sum(value * count for value, count in histogram_us.items()) / sum(histogram_us.values()) / 1e6


def identity(trial: Trial, load: Load) -> Seen:
    moments = 2 if load.concurrent else 3
    if len(trial.identity) < moments:
        raise Missing(f"the service was asked {len(trial.identity)} times who it is, not {moments}")
    started = {key: str(value) for key, value in trial.service.items()}
    said = [_steady_facts(entry) for entry in trial.identity]
    if "nonce" not in started or any(not {"nonce", "code", "pids"} <= entry.keys() for entry in said):
        raise Missing("nonce, code hash or the workers' process ids were not recorded")
    wrong = {key for entry in said for key in entry.keys() & started.keys() if entry[key] != started[key]}
    wrong |= {key for key in said[0] if any(entry.get(key) != said[0][key] for entry in said)}
    alive = int(started.get("workers", 0)) * int(started.get("replicas", 1))
    if alive and any(len(entry["pids"].split()) != alive for entry in said):
        wrong.add("workers alive")
    if wrong:
        names = ", ".join(sorted(wrong))
        return Seen("void", f"the service is not, or did not stay, what was started: {names}", len(wrong), 0)
    return Seen("pass", f"the service that was started answered, {len(said)} times the same", 0, 0)


def _steady_facts(said: Mapping[str, object]) -> dict[str, str]:
    """What must not change from one moment to the next, as text; process ids in order."""
    facts = {key: str(value) for key, value in said.items() if key not in OF_ONE_WORKER and key != "pids"}
    pids = said.get("pids")
    return facts | ({"pids": " ".join(sorted(map(str, pids)))} if isinstance(pids, (list, tuple)) else {})


def answers(trial: Trial, load: Load) -> Seen:
    if not trial.verified:
        raise Missing("no answer was compared with the contract")
    if trial.outside and not trial.wrong_answers:
        return Seen("pass", f"{trial.verified} answers were 2xx; what they say only their owner can judge", 0, 0)
    if trial.wrong_answers:
        return Seen("void", f"a wrong answer: {trial.wrong_answers[0]}", len(trial.wrong_answers), 0)
    if trial.client and trial.verified < 0.01 * trial.client.sent:
        return Seen("warn", f"only {trial.verified} of {trial.client.sent} answers were compared, not 1 %", 0, 0)
    return Seen("pass", f"{trial.verified} answers are as the contract says", 0, 0)


def accounting(trial: Trial, load: Load) -> Seen:
    if trial.outside:
        return Seen("warn", f"{NO_LEDGER}: what clients counted stands alone")
    client, server = _client(trial), _server(trial)
    handled = server.completed + server.failed
    apart, unfinished = client.sent - handled, server.accepted - handled
    excused = client.unanswered if load.expects_errors else 0
    counts = f"clients sent {client.sent}, the service took {server.accepted} and finished {handled}"
    agrees = 0 <= apart <= excused and 0 <= unfinished <= excused
    return Seen("pass" if agrees and client.sent else "void", counts, apart, excused)


def littles_law(trial: Trial, load: Load) -> Seen:
    client = _client(trial)
    if load.rate:
        return _schedule(client)
    if not client.users or client.users < 0:
        raise Missing("how many users there were")
    if abs(sum(client.response_us.values()) - client.counted) > client.failures:
        raise Missing("the response times are not of the requests that were counted")
    rate, mean = _rate(client), _mean(client)
    gap = quantities.little_gap(client)
    if gap is None:
        raise Missing("the users' time")
    says = f"{client.users} users, {rate:.1f} answers/s of {mean * 1000:.1f} ms: {gap:.1%} of their time is missing"
    if abs(gap) > LITTLE_LIMIT:
        return Seen("void", f"generator-bound: {says}", gap, LITTLE_LIMIT)
    return Seen("warn" if abs(gap) > LITTLE_WARN else "pass", says, gap, LITTLE_LIMIT)


def _schedule(client: Client) -> Seen:
    """The open loop's form: requests left when they should, and as many were in flight as arrivals and times give."""
    median = statistics.percentile(client.response_us, 0.5)
    limit = max(RESOLUTION_S, 0.05 * (median[0] / 1e6 if median else 0.0))
    late_s = client.late_p99_s if client.late_mean_s is None else client.late_mean_s  # older trials have no mean
    slowest = f"1 % left over {client.late_p99_s * 1000:.1f} ms late"
    if client.unsent or late_s > limit:
        late = f"on average they left {late_s * 1000:.1f} ms late, {slowest}"
        return Seen("void", f"generator-bound: {client.unsent} requests never left, {late}", late_s, limit)
    if client.late_p99_s > limit:
        return Seen("void", f"{slowest}: the generator is in the highest percentiles", late_s, limit, HIGHEST)
    expected = _rate(client) * _mean(client)
    if client.in_flight is None or abs(client.in_flight - expected) > 0.05 * expected:
        seen = "not sampled" if client.in_flight is None else f"{client.in_flight:.1f}"
        return Seen("warn", f"on schedule, but in flight: {seen}, by Little's law {expected:.1f}", late_s, limit)
    return Seen("pass", f"on schedule, {expected:.1f} in flight as Little's law gives", late_s, limit)


def generator(trial: Trial, load: Load) -> Seen:
    ratio = _client(trial).cpu_ratio
    shared = trial.machine is not None and trial.machine.service_cores >= trial.machine.cores
    limit = GENERATOR_SHARED_LIMIT if shared else GENERATOR_LIMIT
    where = "of a core that the service uses too" if shared else "of a core of its own"
    return Seen("pass" if 0 < ratio <= limit else "void", f"the generator used {ratio:.0%} {where}", ratio, limit)


def witnesses(trial: Trial, load: Load) -> Seen:
    if trial.outside:
        return Seen("skip", f"{NO_LEDGER}, nor how long it takes: the wait of its clients is all there is")
    client, server = _mean(_client(trial)), _server(trial)
    if not server.duration_mean_s > 0:
        raise Missing("how long the service took by its own clock")
    ratio, gap = client / server.duration_mean_s, client - server.duration_mean_s
    if ratio <= WITNESSES_APART or gap <= RESOLUTION_S:
        return Seen("pass", "clients waited as long as the service took", ratio, WITNESSES_APART)
    if not server.queue_count:
        raise Missing(f"clients waited {ratio:.1f} times what the service took, and queue time was not measured")
    told = f"clients waited {client * 1000:.1f} ms, the service took {server.duration_mean_s * 1000:.1f} ms"
    queue = f"{server.queue_mean_s * 1000:.1f} ms in the queue in front of the handler"
    if abs(gap - server.queue_mean_s) <= max(QUEUE_EXPLAINS * gap, RESOLUTION_S):
        return Seen("pass", f"{told}; the difference is {queue}", ratio, WITNESSES_APART)
    return Seen("void", f"{told}; {queue} do not explain the difference", ratio, WITNESSES_APART)


def physics(trial: Trial, load: Load) -> Seen:
    client, machine = _client(trial), _machine(trial)
    used = _cpu_s(trial) / _seconds(client) / machine.service_cores
    says = f"the workers used {used:.0%} of the service's {machine.service_cores} cores"
    if used > PHYSICS_SLACK:
        return Seen("void", f"{says}: more than there is", used, PHYSICS_SLACK)
    fastest = min(client.response_us, default=0) / 1e6 + client.think_s
    if not load.rate and client.users and _rate(client) * fastest > PHYSICS_SLACK * client.users:
        share = _rate(client) * fastest / client.users
        return Seen(
            "void", "more answers than the users could have asked for at the fastest response", share, PHYSICS_SLACK
        )
    return Seen("pass", says, used, PHYSICS_SLACK)


def _cpu_s(trial: Trial) -> float:
    """What the service computed in the window."""
    if trial.outside:
        if trial.outside.cpu_s is None:
            raise Missing("the service's CPU seconds: its processes cannot be seen from here")
        return trial.outside.cpu_s
    if not (workers := _server(trial).workers):
        raise Missing("the workers' CPU seconds")
    return sum(worker.cpu_s for worker in workers.values())


def noise(trial: Trial, load: Load) -> Seen:
    machine = _machine(trial)
    says = (
        f"{machine.noisy_slices:.0%} of the slices were noisy (steal {machine.steal_ratio:.1%}, "
        f"foreign CPU {machine.foreign_ratio:.1%}, probe spread {machine.probe_spread:.0%})"
    )
    bound = cpu_bound(trial)
    voids = {CPU} if machine.noisy_slices > NOISY_LIMIT else set()
    if voids and bound:
        voids |= {THROUGHPUT, LATENCY}
    if machine.steal_ratio + machine.foreign_ratio > CORES_LIMIT:
        voids |= {CORES}
    if machine.steal_ratio > IO_STEAL_LIMIT or machine.foreign_ratio > IO_FOREIGN_LIMIT:
        voids |= {THROUGHPUT, LATENCY, CPU, BEYOND_DOUBT}
    if voids and not bound:
        says += "; the service mostly waited" + ("" if THROUGHPUT in voids else ", so its throughput stands")
    verdict: Verdict = "void" if voids else "warn" if machine.noisy_slices > 0 else "pass"
    return Seen(verdict, says, machine.noisy_slices, NOISY_LIMIT, frozenset(voids))


def doubt(trial: Trial) -> float:
    """By what factor noise may have changed a time, a rate or a cost: the slowest probe by the fastest, and all cores
    that others had taken from the service alone.
    """
    machine = _machine(trial)
    lost = (machine.steal_ratio + machine.foreign_ratio) * machine.cores / machine.service_cores
    return (1 + machine.probe_spread) / (1 - min(lost, MOST_LOST))


def clocks(trial: Trial, load: Load) -> Seen:
    step = abs(_machine(trial).clock_step_s)
    says = f"wall and monotonic clock drifted {step * 1000:.0f} ms apart; durations come from the monotonic one"
    return Seen("warn" if step > CLOCK_LIMIT_S else "pass", says, step, CLOCK_LIMIT_S)


def steadiness(trial: Trial, load: Load) -> Seen:
    client = _client(trial)
    needed = WARM_UP_S if load.holds else max(WARM_UP_S, _mean(client))
    if trial.warm_up_s < WARM_UP_SLACK * needed:
        return Seen("void", f"warmed up for {trial.warm_up_s:.1f} s, it needs {needed:.1f} s", trial.warm_up_s, needed)
    if load.holds:
        held = _whole_number(client.connections_held, "how many connections users held")
        return Seen("pass", f"nothing of those who hold a connection has a rate; {held} of {client.users} were held")
    rates = _drift([part.answers / part.seconds for part in trial.slices if part.seconds > 0])
    times = _drift([part.response_s for part in trial.slices if part.answers > 0])
    unsteady = [name for name, drift in (("throughput", rates), ("response time", times)) if _drifts(drift)]
    figure = max(abs(rates.share), abs(times.share))
    if not unsteady:
        return Seen("pass", "throughput and response time are steady", figure, DRIFT_LIMIT)
    if load.rate and unsteady == ["response time"]:
        return Seen("warn", "response time drifts, as a queue before an open loop may", figure, DRIFT_LIMIT)
    return Seen("void", f"{' and '.join(unsteady)} still drifted by {figure:.1%} over the window", figure, DRIFT_LIMIT)


def _drift(values: Sequence[float]) -> statistics.Drift:
    drift = statistics.drift(values)
    if drift is None:
        raise Missing(f"{len(values)} slices with answers are too few to see a drift in")
    return drift


def _drifts(drift: statistics.Drift) -> bool:
    """Large, and not by chance: noise alone tilts a line by more than 3 % in every other trial of a CPU-bound arm."""
    return abs(drift.share) > DRIFT_LIMIT and drift.p_value < DRIFT_P and drift.halves > HALVES_LIMIT


def samples(trial: Trial, load: Load) -> Seen:
    answered = sum(trial.client.response_us.values()) if trial.client else len(trial.singles)
    victim = sum(trial.client.victim_us.values()) if trial.client and load.victim else None
    counts = {"": answered} | ({"victim ": victim} if victim is not None else {})
    if trial.client and load.client in EVENTS:
        counts |= {f"{kind} ": sum(getattr(trial.client, name).values()) for kind, name in EVENTS[load.client].items()}
    voids = {
        prefix + name
        for prefix, count in counts.items()
        for name, q in PERCENTILES.items()
        if count < statistics.answers_needed(q)
    }
    told = ", ".join([f"{answered} answers", *(f"{count} of the {kind}" for kind, count in counts.items() if kind)])
    if voids:
        return Seen("void", f"{told}: too few for {', '.join(sorted(voids))}", answered, None, frozenset(voids))
    return Seen("pass", f"{told}: enough for every percentile", answered)


def errors(trial: Trial, load: Load) -> Seen:
    failed, counted = _failures(trial)
    if trial.client:  # a mix of which a part fails is another mix
        failed += trial.client.background_failures
        counted += trial.client.background_counted
    if load.holds and trial.client:  # who holds a connection may never be answered; who is kept waiting by it is
        failed += trial.client.victim_failures
        counted += sum(trial.client.victim_us.values()) + trial.client.victim_failures
        counted += sum(trial.client.round_trip_us.values()) + sum(trial.client.event_gap_us.values())
    if not counted:
        raise Missing("nothing was answered")
    says = f"{failed} of {counted} requests failed"
    if load.expects_errors:
        return Seen("pass", f"{says}; the experiment expects errors", failed / counted)
    return Seen("void" if failed / counted > ERROR_LIMIT else "pass", says, failed / counted, ERROR_LIMIT)


def _failures(trial: Trial) -> tuple[int, int]:
    if trial.client:
        return trial.client.failures, trial.client.counted
    return sum(not 200 <= single.status < 300 for single in trial.singles), len(trial.singles)


def _client(trial: Trial) -> Client:
    return _whole(trial.client, "what the clients saw was not recorded")


def _server(trial: Trial) -> Server:
    return _whole(trial.server, "what the service counted was not recorded")


def _machine(trial: Trial) -> Machine:
    machine = _whole(trial.machine, "what else the machine did was not recorded")
    if machine.service_cores < 1:
        raise Missing("how many cores the service had")
    return machine


def _whole_number(found: int | None, otherwise: str) -> int:
    if found is None:
        raise Missing(f"{otherwise} was not recorded")
    return found


Record = TypeVar("Record", Client, Server, Machine)


def _whole(record: Record | None, otherwise: str) -> Record:
    if record is None:
        raise Missing(otherwise)
    broken = [name for name, value in vars(record).items() if isinstance(value, float) and not math.isfinite(value)]
    if broken:
        raise Missing(f"{broken[0]} is not a number")
    return record


def _seconds(client: Client) -> float:
    if not client.seconds > 0:
        raise Missing("the measured window has no length")
    return client.seconds


def _rate(client: Client) -> float:
    return client.counted / _seconds(client)


def _mean(client: Client) -> float:
    if sum(client.response_us.values()) <= 0:
        raise Missing("nothing was answered in the window")
    return mean_s(client.response_us)
