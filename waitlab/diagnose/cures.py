"""What to do about each limit, and the panel on which it can be seen."""

from dataclasses import dataclass

from waitlab.dashboards import load, overview, where_time_goes, workers
from waitlab.dashboards.vocabulary import Dashboard, Panel
from waitlab.diagnose.limits import Evidence, Limit


@dataclass(frozen=True)
class Cure:
    """What to do, and where to look while it is done: the titles of a dashboard and of a panel on it."""

    does: str
    dashboard: str
    panel: str


_TIME, _WORKERS, _LOAD, _ALL = where_time_goes.DASHBOARD, workers.DASHBOARD, load.DASHBOARD, overview.DASHBOARD

# (limit, what narrows it) -> what to do and where to look; "" stands for whatever narrows it.
CURES: dict[tuple[Limit, str], tuple[str, Dashboard, Panel]] = {
    (Limit.LOOP, ""): (
        "Find the call that does not await (a trace shows its request): use its awaiting twin, turn the handler into a "
        "plain `def`, or hand the call to a thread. More workers only share the block out.",
        _TIME,
        where_time_goes.LOOP_LAG,
    ),
    (Limit.THREAD_POOL, "tokens"): (
        "Await instead of blocking where the library can; else give the pool more tokens (TOKENS, anyio's limiter), as "
        "far as what they call bears it; or more workers, each of which has a pool of its own.",
        _TIME,
        where_time_goes.TOKENS,
    ),
    (Limit.THREAD_POOL, "executor"): (
        "Await instead of handing away where the library can; else give the executor more threads (EXECUTOR_THREADS; a "
        "ThreadPoolExecutor of your own).",
        _TIME,
        where_time_goes.EXECUTOR,
    ),
    (Limit.WORKERS, "workers"): (
        "More workers, or threads in them (gthread): requests wait while the CPU rests, so each place more serves "
        "1 / response time more. `lab tune` finds how many.",
        _WORKERS,
        workers.BUSY_WORKERS,
    ),
    (Limit.WORKERS, "threads"): (
        "More threads a worker, or more workers: requests wait while the CPU rests, so each place more serves "
        "1 / response time more. `lab tune` finds how many.",
        _WORKERS,
        workers.BUSY_THREADS,
    ),
    (Limit.DATABASE, ""): (
        "Shorten what holds a connection (slow queries, work done inside a transaction); then a larger pool "
        "(POOL_SIZE), as far as workers x pool stays below the database's max_connections. More threads or workers "
        "only wait longer.",
        _TIME,
        where_time_goes.POOL,
    ),
    (Limit.DATABASE, "unseen"): (
        "Find what its threads wait for (`py-spy dump --pid`): mostly a pool of connections that is smaller than the "
        "number of threads. Shorten what holds one, then enlarge it; more threads or workers only wait longer.",
        _TIME,
        where_time_goes.POOL,
    ),
    (Limit.UPSTREAM, "places"): (
        "The outside world serves no more at once: ask it less (cache, batch, fewer calls a request), or raise its "
        "limit. Nothing in this service makes it faster.",
        _TIME,
        where_time_goes.SHARES,
    ),
    (Limit.UPSTREAM, "client"): (
        "This service's own HTTP client makes no more calls at once: raise its limit of connections, or share one "
        "client with a larger pool.",
        _TIME,
        where_time_goes.SHARES,
    ),
    (Limit.CPU, "cores"): (
        "All of its CPU is used: compute less for a request, or give it more cores, and a worker for each. More "
        "threads or workers on the same cores add nothing.",
        _WORKERS,
        workers.CPU,
    ),
    (Limit.CPU, "process"): (
        "Each process uses all that one Python process can (its GIL), and cores are left: more workers, up to one a "
        "core; or hand the computing to processes.",
        _WORKERS,
        workers.CPU,
    ),
    (Limit.CPU, "shared"): (
        "Its cores are full, and others take part of them: give it cores of its own, or move the others away; the load "
        "generator is often one of them.",
        _WORKERS,
        workers.HOST_CPU,
    ),
    (Limit.SKEW, ""): (
        "Connections that stay open stay with the worker that took them: close them now and then (a keep-alive limit, "
        "max requests), use more connections, or share requests out in front (a proxy that does not pool them).",
        _WORKERS,
        workers.SHARE,
    ),
    (Limit.SLOW_CLIENTS, ""): (
        "Put an edge in front that takes requests and answers whole (nginx buffers both), or serve on an event loop. "
        "More workers only need more slow clients.",
        _TIME,
        where_time_goes.ACCEPT_QUEUE,
    ),
    (Limit.GENERATOR, ""): (
        "The service is not at its end: spread the load over more generator processes (locust --processes), or use a "
        "lighter client. Until then its response times are the generator's, too.",
        _LOAD,
        load.GENERATOR,
    ),
    (Limit.NONE, ""): (
        "Nothing needs to be done for this load. To see what binds first, add users and diagnose again; `lab tune` "
        "does.",
        _ALL,
        overview.BINDING,
    ),
    (Limit.UNKNOWN, ""): (
        "See to what is named above and diagnose again, for longer if it is near a threshold (--seconds 30).",
        _ALL,
        overview.BINDING,
    ),
}


def of(evidence: Evidence) -> Cure:
    """The cure for a limit as it was found."""
    keys = ((evidence.limit, evidence.what), (evidence.limit, ""))
    does, dashboard, panel = next(CURES[key] for key in keys if key in CURES)
    return Cure(does, dashboard.title, panel.title)
