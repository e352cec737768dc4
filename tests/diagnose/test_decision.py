"""Which limit binds, from figures alone: each by itself, with what follows from it, and when nobody can tell."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from waitlab import dashboards
from waitlab.diagnose import cures, words
from waitlab.diagnose.decision import decide
from waitlab.diagnose.figures import Connections, Figures, Places, WorkerFigures
from waitlab.diagnose.limits import Limit

FREE = Places(size=40, used=4, waiting=0, full_ratio=0, waiting_ratio=0)
FULL = Places(size=40, used=40, waiting=60, full_ratio=1, waiting_ratio=1)
CALM = Connections(unaccepted=0, unread=0.1, queued_ratio=0, answering=4)
ONE = Connections(unaccepted=0, unread=0, queued_ratio=0, answering=1)
UNREAD = Connections(unaccepted=0, unread=1, queued_ratio=1, answering=0)
QUEUED = Connections(unaccepted=8, unread=0, queued_ratio=1, answering=2)
LOOP = WorkerFigures("1", cores=0.1, rps=20, in_flight=4, late_ratio=0.02, lag_s=0.004, has_loop=True)
PLAIN = WorkerFigures("1", cores=0.05, rps=5, in_flight=1, has_loop=False, threads=Places(1, 0.5, 0, 0.2, 0))
BUSY = replace(PLAIN, threads=Places(1, 1, 0, 1, 0))


def seen(*workers: WorkerFigures, **figures: object) -> Figures:
    """A watch of a service that has room for everything, but for what is said."""
    known = {"cores_given": 1.0, "cores": sum(one.cores or 0 for one in workers), "connections": CALM, "rps": 20.0}
    named = tuple(replace(one, name=str(number)) for number, one in enumerate(workers, 1))
    known |= {"telemetry": True, "shows_pools": True}
    return Figures("shop", 10.0, 20, workers=named, **{**known, **figures})  # type: ignore[arg-type]


def outside(*workers: WorkerFigures, **figures: object) -> Figures:
    """The same without telemetry: what a stranger's service shows."""
    shown = ("name", "cores", "has_loop", "in_loop_ratio", "at_work", "beside")
    bare = [WorkerFigures(**{field: getattr(one, field) for field in shown}) for one in workers]
    return replace(seen(*bare, **figures), telemetry=False, shows_pools=False, rps=None)


BLOCKED = replace(LOOP, late_ratio=0.9, lag_s=2.0)
UPSTREAM = Places(size=10, used=10, waiting=30, full_ratio=1, waiting_ratio=1)
CALLING = replace(LOOP, in_flight=40, calls=Places(1000, 40, 0, 0, 0))
ASLEEP = WorkerFigures("1", cores=0.02, has_loop=True, in_loop_ratio=0.0)
POLLING = WorkerFigures("1", cores=0.02, has_loop=True, in_loop_ratio=1.0)
LITTLE = replace(CALM, answering=0.3)
SLOW = replace(QUEUED, answering=0, slow=2, slow_ratio=1)
MOSTLY = replace(FREE, used=28)
HELD = replace(FULL, waiting=0, waiting_ratio=0)
CROWDED = replace(BUSY, cores=0.55, ready=0.98)
MUCH = replace(BUSY, cores=0.86)
RESTING = replace(MUCH, ready=0.88)
WAKES = replace(LOOP, tokens=FULL, cores=0.17, ready=0.95)
TURNS = replace(MUCH, ready=1.1)
ALONE = replace(LOOP, cores=0.97, in_flight=1)
IDLE = replace(LOOP, cores=0.0, in_flight=0)
THREADED = Connections(unaccepted=0, unread=6, queued_ratio=1, answering=4, slow=3, slow_ratio=1)
BARELY = replace(FULL, full_ratio=0.7)


def labelled() -> Iterator[tuple[str, Limit, Figures]]:
    """Name, what binds, figures."""
    yield "a blocked loop", Limit.LOOP, seen(BLOCKED)
    yield "a blocked loop behind which requests queue", Limit.LOOP, seen(BLOCKED, connections=QUEUED)
    yield "a blocked loop whose threads wait", Limit.LOOP, seen(replace(BLOCKED, tokens=FULL))
    yield "a loop that computes", Limit.CPU, seen(replace(BLOCKED, cores=0.97))
    yield "two processes on one core", Limit.CPU, seen(replace(BLOCKED, cores=0.49), replace(BLOCKED, cores=0.48))
    yield "a process at its GIL", Limit.CPU, seen(replace(BUSY, cores=0.98), cores_given=4.0, connections=QUEUED)
    yield "CPU explains full threads", Limit.CPU, seen(replace(LOOP, cores=0.96, tokens=FULL))
    yield "cores that others take", Limit.CPU, seen(replace(BUSY, cores=0.6), busy_ratio=1.0, connections=QUEUED)
    yield "tokens", Limit.THREAD_POOL, seen(replace(LOOP, tokens=FULL))
    yield "executor", Limit.THREAD_POOL, seen(replace(LOOP, executor=FULL, tokens=FREE))
    yield "sync workers", Limit.WORKERS, seen(BUSY, BUSY, connections=QUEUED)
    yield "sync workers, accept queue only", Limit.WORKERS, seen(BUSY, connections=None, accept_ratio=0.9)
    yield "threads", Limit.WORKERS, seen(replace(PLAIN, threads=FULL))
    yield "a pool", Limit.DATABASE, seen(replace(LOOP, pools=FULL))
    yield "a pool explains full tokens", Limit.DATABASE, seen(replace(LOOP, pools=FULL, tokens=FULL))
    yield "a pool explains full workers", Limit.DATABASE, seen(replace(PLAIN, threads=FULL, pools=FULL))
    yield "the upstream", Limit.UPSTREAM, seen(CALLING, upstream=UPSTREAM)
    yield "the upstream explains full tokens", Limit.UPSTREAM, seen(replace(CALLING, tokens=FULL), upstream=UPSTREAM)
    yield "a client of its own", Limit.UPSTREAM, seen(replace(LOOP, calls=FULL))
    own = {"shows_pools": False}
    yield "a pool that nobody shows", Limit.DATABASE, seen(replace(LOOP, tokens=FULL, at_work=5.0), **own)
    yield "threads at work without a pool", Limit.THREAD_POOL, seen(replace(LOOP, tokens=FULL, at_work=40.0), **own)
    yield "threads at a lock, pools shown", Limit.THREAD_POOL, seen(replace(LOOP, tokens=FULL, at_work=5.0))
    yield "threads that may not be looked at", Limit.THREAD_POOL, seen(replace(LOOP, tokens=FULL), **own)
    yield "the same, hardly full", Limit.UNKNOWN, seen(replace(LOOP, tokens=BARELY), **own)
    yield "slow clients", Limit.SLOW_CLIENTS, seen(PLAIN, PLAIN, connections=SLOW)
    yield "slow readers keep workers busy", Limit.SLOW_CLIENTS, seen(BUSY, BUSY, connections=SLOW)
    yield "slow clients of a loop", Limit.NONE, seen(LOOP, connections=replace(CALM, slow=5, slow_ratio=1))
    yield "the generator", Limit.GENERATOR, seen(LOOP, generator_ratio=0.99)
    yield "nothing", Limit.NONE, seen(LOOP, generator_ratio=0.2)
    yield "nothing, threads", Limit.NONE, seen(replace(PLAIN, threads=FREE))
    yield "all tokens in use and nobody waits", Limit.NONE, seen(replace(LOOP, tokens=HELD))
    yield "an upstream without a limit", Limit.NONE, seen(CALLING, upstream=Places(0, 40, 0, 0, 0))
    yield "an upstream that does not say", Limit.UNKNOWN, seen(CALLING)
    yield "no load", Limit.UNKNOWN, seen(replace(LOOP, rps=0, in_flight=0), rps=0.0, connections=None)
    yield "workers that come and go", Limit.UNKNOWN, seen(BUSY, connections=QUEUED, changed=2)
    yield "no worker", Limit.UNKNOWN, seen()
    yield "a queue that nothing explains", Limit.UNKNOWN, seen(PLAIN, connections=QUEUED)
    yield "nearly all CPU", Limit.UNKNOWN, seen(replace(LOOP, cores=0.85))
    yield "a loop that is late now and then", Limit.UNKNOWN, seen(replace(LOOP, late_ratio=0.2))
    yield "a pool that is full now and then", Limit.UNKNOWN, seen(replace(LOOP, pools=Places(5, 4, 1, 0.4, 0.4)))
    yield "a generator with little left", Limit.UNKNOWN, seen(LOOP, generator_ratio=0.8)
    yield "answers that are errors", Limit.UNKNOWN, seen(LOOP, error_ratio=0.5)
    yield "another machine's work", Limit.UNKNOWN, seen(LOOP, steal_ratio=0.3)
    yield "two that do not explain each other", Limit.UNKNOWN, seen(replace(LOOP, pools=BARELY, calls=BARELY))


def of_several_workers() -> Iterator[tuple[str, Limit, Figures]]:
    """Those in which one worker has more to do than another."""
    yield "one blocked loop of two", Limit.LOOP, seen(BLOCKED, LOOP)
    yield "threads of one worker", Limit.WORKERS, seen(replace(PLAIN, threads=FULL), replace(PLAIN, threads=MOSTLY))
    yield "tokens of one worker", Limit.THREAD_POOL, seen(replace(LOOP, tokens=MOSTLY), replace(LOOP, tokens=FULL))
    others = [replace(LOOP, tokens=MOSTLY)] * 8
    yield "tokens of one worker of many", Limit.THREAD_POOL, seen(replace(LOOP, tokens=FULL), *others, cores_given=2.0)
    busy = [replace(LOOP, tokens=FREE, cores=0.5)] * 8
    yield "the same, and others compute", Limit.UNKNOWN, seen(replace(LOOP, tokens=FULL), *busy, cores_given=8.0)
    yield "skew of tokens", Limit.SKEW, seen(replace(LOOP, tokens=FULL), replace(LOOP, tokens=FREE))
    yield "skew of CPU", Limit.SKEW, seen(replace(LOOP, cores=0.98), replace(LOOP, cores=0.02), cores_given=2.0)


def computing() -> Iterator[tuple[str, Limit, Figures]]:
    """Those that use much CPU, or would."""
    yield "nearly all of one process", Limit.UNKNOWN, seen(replace(LOOP, cores=0.88), cores_given=4.0)
    yield "one user, and a worker that rests", Limit.UNKNOWN, seen(ALONE, IDLE, cores_given=4.0, connections=ONE)
    held = seen(replace(BUSY, cores=0.83, ready=0.83), connections=QUEUED)
    stolen = replace(held, steal_ratio=0.12, busy_ratio=0.94, host_cores=1)
    yield "cores that another machine takes", Limit.CPU, stolen
    yield "the same, and some are idle", Limit.WORKERS, replace(stolen, busy_ratio=0.85)
    yield "the same, and it has a quota", Limit.WORKERS, replace(stolen, host_cores=8)
    yield "a loop that is late while it computes", Limit.UNKNOWN, seen(replace(LOOP, late_ratio=0.45, cores=0.5))
    yield (
        "a process that waits for a core",
        Limit.CPU,
        seen(CROWDED, cores_given=2.0, connections=QUEUED, busy_ratio=1.0),
    )
    yield (
        "a process that waits for its turn",
        Limit.CPU,
        seen(TURNS, cores_given=2.0, connections=QUEUED, busy_ratio=0.6),
    )
    yield "tokens of a process that wakes often", Limit.THREAD_POOL, seen(WAKES, busy_ratio=1.0)
    yield "busy workers that compute much", Limit.UNKNOWN, seen(MUCH, cores_given=2.0, connections=QUEUED)
    yield "busy workers that compute much and rest", Limit.WORKERS, seen(RESTING, cores_given=2.0, connections=QUEUED)
    yield "a loop that waits for a core", Limit.UNKNOWN, seen(replace(LOOP, late_ratio=0.6, cores=0.2, ready=0.6))


def from_outside() -> Iterator[tuple[str, Limit, Figures]]:
    """The same of services that show nothing by themselves."""
    yield "from outside: a blocked loop", Limit.LOOP, outside(ASLEEP, connections=QUEUED)
    yield "from outside: threads", Limit.WORKERS, outside(POLLING, connections=QUEUED)
    yield (
        "from outside: threads that wait for a pool",
        Limit.DATABASE,
        outside(replace(POLLING, at_work=5.0, beside=16.0), connections=QUEUED),
    )
    yield (
        "from outside: threads, and others that rest",
        Limit.WORKERS,
        outside(replace(POLLING, at_work=2.0, beside=6.0), connections=QUEUED),
    )
    yield (
        "from outside: sync workers beside threads that rest",
        Limit.WORKERS,
        outside(replace(PLAIN, at_work=0.0, beside=9.0), connections=replace(QUEUED, answering=1)),
    )
    yield "from outside: sync workers", Limit.WORKERS, outside(PLAIN, PLAIN, connections=QUEUED)
    yield "from outside: slow clients", Limit.SLOW_CLIENTS, outside(PLAIN, PLAIN, connections=SLOW)
    yield "from outside: slow clients of threads", Limit.SLOW_CLIENTS, outside(POLLING, connections=THREADED)
    yield "from outside: one of them", Limit.WORKERS, outside(POLLING, connections=replace(THREADED, slow=1))
    yield "from outside: a body that nobody reads", Limit.UNKNOWN, outside(PLAIN, PLAIN, connections=UNREAD)
    yield "from outside: CPU", Limit.CPU, outside(replace(PLAIN, cores=0.98), connections=QUEUED)
    yield "from outside: sync workers with room", Limit.NONE, outside(PLAIN, PLAIN, connections=ONE)
    yield "from outside: workers with threads that show nothing", Limit.UNKNOWN, outside(PLAIN, PLAIN)
    yield "from outside: a loop that is asked much", Limit.UNKNOWN, outside(POLLING)
    yield (
        "from outside: a loop that is asked little",
        Limit.NONE,
        outside(POLLING, connections=LITTLE),
    )
    yield (
        "from outside: a loop that may not be looked at",
        Limit.UNKNOWN,
        outside(replace(POLLING, in_loop_ratio=None), connections=QUEUED),
    )


CASES = [*labelled(), *of_several_workers(), *computing(), *from_outside()]


@pytest.mark.parametrize(("limit", "figures"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_binds(limit: Limit, figures: Figures) -> None:
    verdict = decide(figures)
    assert verdict.limit is limit, words.text(figures, verdict)
    assert (verdict.confidence >= 0.5) == (limit is not Limit.UNKNOWN)
    assert verdict.evidence or verdict.doubts
    text = words.text(figures, verdict)
    assert text.startswith(f"shop: {limit.value}")
    is_shown = f'panel "{verdict.cure.panel}"' in text
    assert is_shown == figures.telemetry, "it is empty for a service that shows nothing"


def test_what_follows_is_told_beside_what_binds() -> None:
    verdict = decide(seen(replace(LOOP, pools=FULL, tokens=FULL)))
    assert [one.limit for one in verdict.also] == [Limit.THREAD_POOL]
    assert not verdict.doubts


def test_what_does_not_follow_lowers_the_confidence() -> None:
    sure = decide(seen(replace(LOOP, tokens=FULL)))
    doubtful = decide(seen(replace(LOOP, tokens=FULL), generator_ratio=0.99))
    assert doubtful.limit is sure.limit
    assert doubtful.confidence < sure.confidence
    assert "load generator" in doubtful.doubts[0]


def test_pools_that_would_not_show_lower_the_confidence_that_nothing_is_full() -> None:
    verdict = decide(seen(LOOP, shows_pools=False))
    assert verdict.limit is Limit.NONE
    assert verdict.confidence < decide(seen(LOOP)).confidence == 1
    assert "pools" in verdict.doubts[0]
    assert not decide(seen(PLAIN, shows_pools=False)).doubts  # a worker with one thread needs one connection


def test_full_workers_that_wait_for_somebody_who_may_be_full_are_less_sure() -> None:
    full = outside(replace(PLAIN, has_loop=False), connections=replace(QUEUED, answering=1))
    sure, calling = decide(full), decide(replace(full, callee="10.0.0.7:443", awaited=0.9))
    assert sure.limit is calling.limit is Limit.WORKERS
    assert calling.confidence < sure.confidence
    assert "0.9 calls wait for an answer, most of them from 10.0.0.7:443" in calling.doubts[0]
    assert not decide(replace(full, callee="10.0.0.7:443", awaited=0.3)).doubts


def test_whom_requests_wait_for_is_told_where_more_does_not_show() -> None:
    verdict = decide(outside(POLLING, callee="127.0.0.1:5432", awaited=3.0))
    assert verdict.limit is Limit.UNKNOWN
    assert any("3.0 calls wait for an answer, most of them from 127.0.0.1:5432" in one for one in verdict.doubts)
    assert len(decide(outside(POLLING, callee="127.0.0.1:5432", awaited=0.1)).doubts) == len(verdict.doubts) - 1


def test_evidence_at_its_threshold_is_worth_less() -> None:
    barely = decide(seen(replace(LOOP, tokens=replace(FULL, waiting_ratio=0.65))))
    assert barely.limit is Limit.THREAD_POOL
    assert 0.5 <= barely.confidence < decide(seen(replace(LOOP, tokens=FULL))).confidence


def test_every_limit_has_a_cure_and_every_panel_exists() -> None:
    assert {limit for limit, _ in cures.CURES} == set(Limit)
    titles = {(board.title, panel.title) for board in dashboards.ALL for row in board.rows for panel in row.panels}
    assert {(board.title, panel.title) for _, board, panel in cures.CURES.values()} <= titles


def test_who_waits_is_counted_once() -> None:
    """gthread has accepted 12 requests that no thread reads yet: both it and the kernel know of them."""
    full = replace(PLAIN, threads=replace(FULL, waiting=12))
    unread = Connections(unaccepted=3, unread=12, queued_ratio=1, answering=40)
    told = decide(seen(full, connections=unread)).evidence
    assert any("15.0 in the mean" in one for one in told), told
