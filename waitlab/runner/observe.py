"""Witness 2: what the service's ledger, its workers' own pages and /proc say of the measured window."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic

from waitlab import process
from waitlab.errors import LabError
from waitlab.runner.service import Serving
from waitlab.runtime import pages
from waitlab.runtime.pages import Metrics
from waitlab.telemetry import costs, ledger, names
from waitlab.telemetry.costs import ProcessFacts
from waitlab.trial import Server, Worker

PATIENCE_SECONDS = 5.0  # a listener answers from a thread of its own, but a busy GIL may keep it waiting
LAG_SECONDS = 4.5  # a worker remembers its worst lag for five

Bucket = tuple[float, float]  # a bound, and how many were not above it


@dataclass(frozen=True)
class Counts:
    """The whole ledger: requests since the service began, of all workers, dead ones too."""

    accepted: int = 0
    completed: int = 0
    failed: int = 0

    @property
    def unfinished(self) -> int:
        return self.accepted - self.completed - self.failed


@dataclass(frozen=True)
class Look:
    """Every live worker at one moment (monotonic seconds), by its slot's number."""

    at: float
    slots: Mapping[int, ledger.Slot]
    facts: Mapping[int, ProcessFacts]
    pages: Mapping[int, Metrics]


@dataclass
class Samples:
    """What is read between two looks, since no count remembers it: the worst of each."""

    lag_s: float = 0.0
    accept_queue: int = 0
    lag_at: float = field(default_factory=monotonic)

    def take(self, serving: Serving, last: bool) -> None:
        """Read what is due now; the lag before a worker forgets it, and at the end."""
        for one in serving.each:
            page = pages.metrics(one.listener(), PATIENCE_SECONDS)
            self.accept_queue = max(self.accept_queue, int(page.total(names.ACCEPT_QUEUE)) if page else 0)
        if last or monotonic() - self.lag_at >= LAG_SECONDS:
            self.lag_at = monotonic()
            for slot in serving.live():
                page = pages.metrics(f"127.0.0.1:{slot.port}", PATIENCE_SECONDS)
                self.lag_s = max(self.lag_s, page.total(names.LOOP_LAG) if page else 0.0)


def counts(serving: Serving) -> Counts:
    """What the ledger says now."""
    slots = serving.slots()
    return Counts(
        sum(slot.accepted for slot in slots),
        sum(slot.completed for slot in slots),
        sum(slot.failed for slot in slots),
    )


def pss_bytes(serving: Serving) -> int:
    """The memory of all workers now, shared pages divided by their sharers."""
    return sum(found.pss_bytes for slot in serving.live() if (found := costs.facts(slot.pid)))


def look(serving: Serving) -> Look:
    """Look at every worker: the counts first, since they are what clients are held against, their pages last."""
    at, slots = monotonic(), {slot.number: slot for slot in serving.live()}
    facts = {number: found for number, slot in slots.items() if (found := costs.facts(slot.pid))}
    shown = {number: _page(slot) for number, slot in slots.items()}
    if not facts:
        raise LabError(serving.ailment or "no worker lives")
    return Look(at, slots, facts, shown)


def _page(slot: ledger.Slot) -> Metrics:
    page = pages.metrics(f"127.0.0.1:{slot.port}", PATIENCE_SECONDS)
    if page is None:
        what = "does not show its metrics" if process.is_alive(slot.pid) else "has died"
        raise LabError(f"worker {slot.number}, process {slot.pid}, {what}")
    return page


def server(before: Look, after: Look, samples: Samples, name: tuple[str, str], load: tuple[Counts, Counts]) -> Server:
    """The service's own account: of the window between two looks, and of the whole `load`, from its first request to
    the last one drained. `name` is style and workload of the request that is measured, not of a victim beside it.
    """
    began, drained = load
    labels = dict(zip(("style", "workload"), name, strict=True))
    duration_s, answered = _mean(before, after, names.REQUEST_DURATION, labels)
    queue_s, queued = _mean(before, after, names.REQUEST_QUEUE, labels)
    return Server(
        accepted=drained.accepted - began.accepted,
        completed=drained.completed - began.completed,
        failed=drained.failed - began.failed,
        workers={str(number): _worker(before, after, number) for number in sorted(after.facts)},
        duration_mean_s=duration_s if answered else 0.0,
        queue_mean_s=queue_s,
        queue_count=round(queued),
        duration_p95_s=quantile(0.95, _buckets(before, after, names.REQUEST_DURATION, labels)),
        loop_lag_max_s=samples.lag_s,
        pool_wait_p95_s=quantile(0.95, _buckets(before, after, names.POOL_WAIT, {})),
        task_queue_mean_s=_mean(before, after, names.TASK_QUEUE, {})[0],
        accept_queue_max=samples.accept_queue,
    )


def _worker(before: Look, after: Look, number: int) -> Worker:
    """What one worker did in between; one that was not there before began at nothing."""
    now, done = after.facts[number], after.slots[number].completed
    earlier, had = before.facts.get(number), before.slots.get(number)
    same = earlier is not None and had is not None and had.pid == after.slots[number].pid
    then = earlier if same and earlier else ProcessFacts(0.0, 0, 0, 0, 0)
    return Worker(
        completed=done - (had.completed if had else 0),
        cpu_s=max(0.0, now.cpu_seconds - then.cpu_seconds),
        pss_bytes=now.pss_bytes,
        os_threads=now.threads,
        switches_voluntary=max(0, now.voluntary_switches - then.voluntary_switches),
        switches_involuntary=max(0, now.involuntary_switches - then.involuntary_switches),
    )


def _mean(before: Look, after: Look, metric: str, labels: Mapping[str, str]) -> tuple[float, float]:
    """The mean of a histogram over the window in seconds, and of how many; 0 of none."""
    count = sum(_grown(before, after, lambda page: {"": page.total(f"{metric}_count", **labels)}).values())
    total = sum(_grown(before, after, lambda page: {"": page.total(f"{metric}_sum", **labels)}).values())
    return (total / count if count > 0 else 0.0), count


def _buckets(before: Look, after: Look, metric: str, labels: Mapping[str, str]) -> list[Bucket]:
    """How many of the window lay below each bound, in the order of the bounds; none where nobody counts that."""
    grown = _grown(before, after, lambda page: page.by("le", f"{metric}_bucket", **labels))
    return sorted((float(bound), count) for bound, count in grown.items())


def _grown(before: Look, after: Look, read: Callable[[Metrics], Mapping[str, float]]) -> dict[str, float]:
    """By how much counts of all workers grew; those of a worker that is new began at nothing."""
    grown: dict[str, float] = {}
    for number, page in after.pages.items():
        same = number in before.slots and before.slots[number].pid == after.slots[number].pid
        then = read(before.pages[number]) if same else {}
        for key, value in read(page).items():
            grown[key] = grown.get(key, 0.0) + value - then.get(key, 0.0)
    return grown


def quantile(q: float, buckets: Sequence[Bucket]) -> float:
    """As Prometheus' histogram_quantile: linear within its bucket, the last bound beyond it; 0 without any answer."""
    rank, low, below = q * (buckets[-1][1] if buckets else 0.0), 0.0, 0.0
    if rank <= 0:
        return 0.0
    for bound, count in buckets[:-1]:
        if count >= rank:
            return low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return low
