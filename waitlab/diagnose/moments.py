"""What each look at a service showed, and the figures that all of them together make."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from waitlab.diagnose.figures import Connections, Figures, Places, WorkerFigures
from waitlab.diagnose.sockets import Call, Connection, Turn
from waitlab.runtime.pages import Metrics
from waitlab.telemetry import names

WAITED_MS = 10  # a request that lies for less is being picked up
SILENT_MS = 1_000  # who has connected and sent nothing for so long holds whoever took the connection
TIMES = 2  # that a request was seen to grow: once may be a body behind its headers
COMPUTES = 0.15  # of the time: a thread that does, or would
CLIENTS = ("requests", "aiohttp", "httpx", "httpx-async")  # pools whose connections lead to the outside
_IDLE, _IOWAIT, _STEAL = 3, 4, 7  # columns of /proc/stat

Kinds = tuple[str, str, str]


@dataclass(frozen=True)
class Moment:
    """One look. A key of `pages`, `in_loop` and `cpu_s` is a worker's name; None = this cannot be known here.

    `at_work`: how many of its threads beside the main one do not wait for each other, and how many there are;
    `cpu_s`: CPU seconds until now, of a worker and all below it; `ready_s`: of each of its threads, with those for
    which it waited for a core; `pids`: its process; `cores`: the ticks of the service's cores by mode; `senders`:
    what sends load, by thread where those compute at once -> its CPU seconds; `load_ratio`: of the load's own
    exporter, by process; `load_requests`: what it has asked this service; `pages_s`: how long its pages took;
    `waiting`: who wait to be accepted, where the kernel tells no more than that; `calls`: the connections by
    which it asks others.
    """

    at: float
    pages: Mapping[str, Metrics]
    parents: Sequence[Metrics] = ()
    connections: Sequence[Connection] | None = None
    in_loop: Mapping[str, bool] = field(default_factory=dict)
    has_loop: Mapping[str, bool] = field(default_factory=dict)
    at_work: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    ready_s: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    pids: Mapping[str, int] = field(default_factory=dict)
    cores: Sequence[int] = ()
    senders: Mapping[str, float] = field(default_factory=dict)
    load_ratio: Mapping[str, float] = field(default_factory=dict)
    load_requests: float = 0.0
    pages_s: float = 0.0
    waiting: int | None = None
    calls: Sequence[Call] = ()

    @property
    def workers(self) -> frozenset[str]:
        return frozenset(self.pages) | frozenset(self.cpu_s)


def figures(
    service: str,
    moments: Sequence[Moment],
    cores_given: float | None,
    places: int | None = None,
    shows_pools: bool = False,
    *,
    host_cores: int = 0,
) -> Figures:
    """What at least two looks show. `places`: calls the outside world serves at once, 0 for as many as come;
    `host_cores`: how many cores the ticks are of, 0 where they are the machine's.
    """
    first, last = moments[0], moments[-1]
    telemetry = any(moment.pages for moment in moments)
    seconds = last.at - first.at
    workers = tuple(_worker(name, moments) for name in sorted(last.workers, key=lambda name: (len(name), name)))
    cores = [one.cores for one in workers if one.cores is not None]
    busy, steal = _machine(first.cores, last.cores)
    sender, ratio = _generator(moments)
    queues = [queue for moment in moments if (queue := _queue(moment)) is not None]
    connections = _connections(moments)
    callee, awaited = _calls(moments)
    return Figures(
        service=service,
        seconds=seconds,
        looks=len(moments),
        telemetry=telemetry,
        shows_pools=shows_pools,
        workers=workers,
        changed=max(len(first.workers ^ last.workers), len({*first.pids.values()} - {*last.pids.values()})),
        rps=sum(one.rps or 0.0 for one in workers) if telemetry else None,
        error_ratio=_errors(first, last) if telemetry else None,
        cores=sum(cores) if cores else None,
        cores_given=cores_given,
        busy_ratio=busy,
        steal_ratio=steal,
        accept_queue=connections.unaccepted if connections else _mean(queues) if queues else None,
        accept_ratio=_share(queue > 0 for queue in queues) if queues and not connections else None,
        connections=connections,
        generator=sender,
        generator_ratio=ratio,
        upstream=_upstream(moments, places),
        callee=callee,
        awaited=awaited,
        host_cores=host_cores,
    )


def _queue(moment: Moment) -> float | None:
    """Who wait to be accepted, where the parent of the workers tells, or the kernel."""
    return sum(page.total(names.ACCEPT_QUEUE) for page in moment.parents) if moment.parents else moment.waiting


def _worker(name: str, moments: Sequence[Moment]) -> WorkerFigures:
    pages = [(moment.at, moment.pages[name]) for moment in moments if name in moment.pages]
    looped = [moment.in_loop[name] for moment in moments if name in moment.in_loop]
    at_work = [moment.at_work[name] for moment in moments if name in moment.at_work]
    known = WorkerFigures(
        name=name,
        at_work=_mean([count for count, _ in at_work]) if at_work else None,
        beside=_mean([count for _, count in at_work]) if at_work else None,
        cores=_cores(name, moments),
        ready=_ready(name, moments[0], moments[-1]),
        has_loop=next((moment.has_loop[name] for moment in moments if name in moment.has_loop), None),
        in_loop_ratio=_share(looped) if looped else None,
    )
    return _inside(known, pages) if len(pages) > 1 else known


def _inside(known: WorkerFigures, pages: Sequence[tuple[float, Metrics]]) -> WorkerFigures:
    """The same with what its own pages show."""
    (began, first), (ended, last) = pages[0], pages[-1]
    seconds, every = ended - began, [page for _, page in pages]
    done = sum(last.total(names.LEDGER_REQUESTS, outcome=how) for how in ("completed", "failed"))
    had = sum(first.total(names.LEDGER_REQUESTS, outcome=how) for how in ("completed", "failed"))
    pools = {pool for page in every for pool in page.by("pool", names.POOL_MAX)}
    return replace(
        known,
        cores=known.cores if known.cores is not None else _grown(first, last, names.WORKER_CPU) / seconds,
        rps=(done - had) / seconds,
        in_flight=_mean([page.total(names.ACTIVE_REQUESTS) for page in every]),
        late_ratio=_late_s(every) / seconds if names.LOOP_LAG in last else None,
        lag_s=max(page.total(names.LOOP_LAG) for page in every) if names.LOOP_LAG in last else None,
        has_loop=names.LOOP_LAG in last,
        threads=_places(every, (names.WORKER_THREADS, names.WORKER_THREADS_BUSY, names.WORKER_REQUESTS_WAITING)),
        tokens=_places(every, (names.TOKENS, names.TOKENS_BORROWED, names.TOKENS_WAITING)),
        executor=_places(every, (names.EXECUTOR_THREADS, names.EXECUTOR_BUSY, names.EXECUTOR_WAITING)),
        pools=_fullest(every, pools - set(CLIENTS)),
        calls=_fullest(every, pools & set(CLIENTS)),
    )


def _ready(name: str, first: Moment, last: Moment) -> float | None:
    """Of its threads that compute: the many that only wake up wait for a core each time, which adds up to nothing."""
    before, seconds = first.ready_s.get(name, {}), last.at - first.at
    rates = [(has - before[one]) / seconds for one, has in last.ready_s.get(name, {}).items() if one in before]
    return sum(rate for rate in rates if rate >= COMPUTES) if rates else None


def _cores(name: str, moments: Sequence[Moment]) -> float | None:
    read = [(moment.at, moment.cpu_s[name]) for moment in moments if name in moment.cpu_s]
    if len(read) < 2:
        return None
    (began, had), (ended, has) = read[0], read[-1]
    return max(0.0, has - had) / (ended - began)


def _late_s(pages: Sequence[Metrics]) -> float:
    """Seconds for which the loop was late: of all that it has noticed, or of a block that goes on."""
    noticed = _grown(pages[0], pages[-1], f"{names.LOOP_LAG_DURATION}_sum")
    blocks = [page.total(names.LOOP_LAG) for page in pages]
    stuck = _grown(pages[0], pages[-1], f"{names.LOOP_LAG_DURATION}_count") == 0
    return max(noticed, max(blocks) if stuck else 0.0)


def _places(pages: Sequence[Metrics], kinds: Kinds, **labels: str) -> Places | None:
    """Places of one kind over the looks; None where there are none."""
    states = [tuple(page.total(name, **labels) for name in kinds) for page in pages if kinds[0] in page]
    if not states or not states[-1][0]:
        return None
    return _seen_as(states)


def _seen_as(states: Sequence[tuple[float, ...]]) -> Places:
    return Places(
        size=states[-1][0],
        used=_mean([used for _, used, _ in states]),
        waiting=_mean([waiting for _, _, waiting in states]),
        full_ratio=_share(used >= size > 0 for size, used, _ in states),
        waiting_ratio=_share(waiting > 0 for _, _, waiting in states),
    )


def _fullest(pages: Sequence[Metrics], pools: Iterable[str]) -> Places | None:
    """Of several pools of a worker the one that is asked most."""
    kinds = (names.POOL_MAX, names.POOL_USED, names.POOL_WAITING)
    found = [places for pool in pools if (places := _places(pages, kinds, pool=pool))]
    return max(found, key=lambda one: (one.waiting_ratio, one.full_ratio, one.used), default=None)


def _upstream(moments: Sequence[Moment], places: int | None) -> Places | None:
    """The calls under way of all workers, against the places that there are for them."""
    calls = [
        sum(page.total(names.POOL_USED, pool=pool) for page in moment.pages.values() for pool in CLIENTS)
        for moment in moments
        if moment.pages
    ]
    if places is None or not calls:
        return None
    size = float(places)
    if not places:
        return Places(0.0, _mean(calls), 0.0, 0.0, 0.0)
    return _seen_as([(size, min(size, now), max(0.0, now - size)) for now in calls])


def _errors(first: Moment, last: Moment) -> float | None:
    """The share of errors (5xx, and 429) of all answers."""
    grown: dict[str, float] = {}
    for name, page in last.pages.items():
        had = first.pages[name].by("status", f"{names.REQUEST_DURATION}_count") if name in first.pages else {}
        for status, count in page.by("status", f"{names.REQUEST_DURATION}_count").items():
            grown[status] = grown.get(status, 0.0) + count - had.get(status, 0.0)
    bad = sum(count for status, count in grown.items() if status.startswith("5") or status == "429")
    return bad / sum(grown.values()) if sum(grown.values()) > 0 else None


def _connections(moments: Sequence[Moment]) -> Connections | None:
    looks = [moment.connections for moment in moments if moment.connections is not None]
    if not looks:
        return None
    unaccepted = [[one for one in look if not one.inode] for look in looks]
    unread = [[one for one in look if one.inode and one.unread] for look in looks]
    late = [
        any(one.since_received_ms >= WAITED_MS for one in (*waiting, *lying))
        for waiting, lying in zip(unaccepted, unread, strict=True)
    ]
    slow = _slow(looks)
    return Connections(
        unaccepted=_mean([len(look) for look in unaccepted]),
        unread=_mean([len(look) for look in unread]),
        queued_ratio=_share(late),
        answering=_mean(_answering(looks)),
        slow=_mean(slow),
        slow_ratio=_share(count > 0 for count in slow),
    )


def _answering(looks: Sequence[Sequence[Connection]]) -> list[int]:
    """How many requests had been read and not answered at each look.

    The kernel's clock has a grain of milliseconds: who asks again at once has received and sent at the same time.
    """
    before: dict[bytes, Connection] = {}
    counts = []
    for look in looks:
        read = [one for one in look if one.inode and not one.unread]
        counts.append(sum(one.unanswered or _asked_again(one, before.get(one.peer)) for one in read))
        before = {one.peer: one for one in look}
    return counts


def _asked_again(one: Connection, was: Connection | None) -> bool:
    return was is not None and one.received > was.received and one.since_received_ms == one.since_sent_ms


def _slow(looks: Sequence[Sequence[Connection]]) -> list[int]:
    """How many connections were held up by their clients at each look."""
    senders = _senders(looks)
    before: dict[bytes, Connection] = {}
    counts = []
    for look in looks:
        held = [one for one in look if one.peer in senders or _does_not_take(one, before) or _is_silent(one)]
        counts.append(sum(one.inode > 0 for one in held))
        before = {one.peer: one for one in look}
    return counts[1:] or counts


def _senders(looks: Sequence[Sequence[Connection]]) -> set[bytes]:
    """Those whose request grew again and again while nothing was answered."""
    grew: dict[bytes, int] = {}
    for earlier, later in pairwise(looks):
        before = {one.peer: one for one in earlier}
        for one in later:
            was = before.get(one.peer)
            if was and was.unanswered and one.received > was.received and one.sent == was.sent:
                grew[one.peer] = grew.get(one.peer, 0) + 1
    return {peer for peer, times in grew.items() if times >= TIMES}


def _does_not_take(one: Connection, before: Mapping[bytes, Connection]) -> bool:
    """Part of its answer lay in the kernel at two looks in turn."""
    was = before.get(one.peer)
    return bool(one.unsent and was and was.unsent)


def _is_silent(one: Connection) -> bool:
    return one.received == 0 and one.since_received_ms >= SILENT_MS


def _calls(moments: Sequence[Moment]) -> tuple[str, float]:
    """How many calls wait for their answers at a look, and for whose most of them do."""
    histories: dict[tuple[str, int], list[Call]] = {}
    for moment in moments:
        for one in moment.calls:
            histories.setdefault((one.address, one.inode), []).append(one)
    waits: Counter[str] = Counter()
    for (address, _), history in histories.items():
        waits[address] += _asking(history, len(moments))
    callee = max(waits, key=lambda address: waits[address], default="")
    return callee, waits.total() / len(moments)


def _asking(history: Sequence[Call], looks: int) -> int:
    """At how many looks a connection waited for an answer. Where it is mostly seen to, those of which it cannot be told
    followed an answer within a tick. One that says ever more asks nothing, nor does one that says nothing all the time.
    """
    says_more = any(
        was.turn is Turn.ASKED and now.sent > was.sent and now.received == was.received
        for was, now in pairwise(history)
    )
    rests = len(history) == looks and history[0][-2:] == history[-1][-2:]
    turns = Counter(one.turn for one in history)
    if says_more or rests:
        return 0
    return turns[Turn.ASKED] + (turns[Turn.EITHER] if turns[Turn.ASKED] > turns[Turn.ANSWERED] else 0)


def _generator(moments: Sequence[Moment]) -> tuple[str, float | None]:
    """The busiest process that sends the load, and how much of a core it used; by its own exporter where it has one."""
    first, last = moments[0], moments[-1]
    if last.load_requests > first.load_requests:
        shares = {name: _mean([one.load_ratio.get(name, 0.0) for one in moments[1:]]) for name in last.load_ratio}
        busiest = max(shares, key=lambda name: shares[name], default="")
        return f"Locust, process {busiest}", shares.get(busiest)
    seconds = last.at - first.at
    used = {
        name: (spent - first.senders[name]) / seconds for name, spent in last.senders.items() if name in first.senders
    }
    busiest = max(used, key=lambda name: used[name], default="")
    return busiest.partition("\0")[0], used.get(busiest)


def _machine(before: Sequence[int], after: Sequence[int]) -> tuple[float | None, float | None]:
    """Of the service's cores: the share of the time in which they were busy, and of it what another machine took."""
    spent = [later - earlier for earlier, later in zip(before, after, strict=False)]
    if sum(spent) <= 0:
        return None, None
    free = spent[_IDLE] + spent[_IOWAIT]
    return 1 - free / sum(spent), spent[_STEAL] / sum(spent)


def _grown(first: Metrics, last: Metrics, name: str) -> float:
    return last.total(name) - first.total(name)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _share(claims: Iterable[bool]) -> float:
    held = list(claims)
    return sum(held) / len(held) if held else 0.0
