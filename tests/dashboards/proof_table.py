"""Every query of every panel, and what proves it: dashboard, panel and legend -> proofs.

The bounds: 3 % for rates; for percentiles 5 % where the truth is the lab's favourite 200 ms, else the bucket that the
truth lies in; nothing for what is counted or set. What needs more says why.
"""

from collections.abc import Mapping
from typing import Any

from tests.dashboards import kernel_truths, truths
from tests.dashboards.kernel_truths import CPUS, cpu_share, grown, wait_share, whose_service
from tests.dashboards.lab_under_load import (
    EXECUTOR_THREADS,
    INTERVAL_SECONDS,
    POOL_SIZE,
    QUEUED,
    SOCKETS,
    THREADS,
    TOKENS,
    WORKERS,
)
from tests.dashboards.proofs import Proof, last, median
from tests.dashboards.truths import (
    average,
    between,
    constant,
    everyone,
    in_bucket,
    less,
    little,
    locust,
    only,
    only_of,
    percentile,
    rate,
    total,
    waits,
)

RATE = 0.03
WAIT = 0.05  # of the 200 ms that most requests take
LATE_SECONDS = 0.05  # by which a machine that has other things to do may wake a sleeper
IN_FLIGHT = 0.1  # the mean of the dozen moments at which Prometheus looked
KERNEL = 0.05  # looks at the same counts of the kernel, but not at the same moments
PUSHED = 0.2  # what other programs there are changes from second to second
EXACT: Mapping[str, Any] = {"figure": None}
# Exact at most scrapes: at some, one user has an answer and has not sent the next request.
USUAL: Mapping[str, Any] = {"figure": median}
ALONE: Mapping[str, Any] = {"by": ()}
BY_WORKER: Mapping[str, Any] = {"by": ("service", "worker")}

FLASK, FASTAPI = WORKERS["flask"], WORKERS["fastapi"]
CONFIGURED = {
    f"flask gunicorn gthread {THREADS} {POOL_SIZE}": FLASK,
    f"fastapi uvicorn asgi 1 {POOL_SIZE}": FASTAPI,
}

Panels = Mapping[str, Mapping[str, tuple[Proof, ...]]]  # title -> legend -> proofs


def of_service(name: str, phase: str) -> Mapping[str, tuple[Proof, ...]]:
    """The percentiles of one service; its clients' in a phase in which Locust asks it."""
    return {
        **{
            f"p{q * 100:.0f}": (
                Proof("healthy", only(name, between(waits(0.2), percentile(q, everyone))), WAIT, **ALONE),
            )
            for q in (0.5, 0.95, 0.99)
        },
        "p95 of its clients": (Proof(phase, only(name, in_bucket(0.95, locust)), WAIT, **ALONE),),
    }


OVERVIEW: Panels = {
    "Requests/s": {
        "{{service}}": tuple(Proof(phase, rate(everyone), RATE) for phase in ("healthy", "blocked")),
        "{{service}}, its clients": tuple(Proof(phase, rate(locust), RATE) for phase in ("healthy", "blocked")),
    },
    "Errors/s": {
        "{{service}}": (
            Proof("failing", rate(everyone, truths.failed), RATE),
            Proof("healthy", constant(flask=0, fastapi=0), **EXACT),
        ),
        "{{service}}, its clients": (
            Proof("failing", rate(locust, truths.failed), RATE),
            Proof("healthy", constant(fastapi=0), **EXACT),
        ),
    },
    "In flight": {
        "{{service}}": (
            Proof("healthy", between(little(0.2), constant(flask=6, fastapi=20)), IN_FLIGHT),
            Proof("threads", constant(flask=FLASK * THREADS, fastapi=20), **USUAL),
        )
    },
    "Users": {"users": (Proof("healthy", total(20), **ALONE, **EXACT), Proof("blocked", total(10), **ALONE, **EXACT))},
    "flask: response time": of_service("flask", "blocked"),
    "fastapi: response time": of_service("fastapi", "healthy"),
    "What the services run with": {
        "workers": (
            Proof(
                "healthy",
                constant(**CONFIGURED),
                by=("service", "server", "worker_class", "threads", "pool_size"),
                **EXACT,
            ),
        )
    },
    "What binds now": {
        # Late by a scrape, an evaluation of the rules, and the window in which a rate notices.
        "for": (
            Proof(
                "threads", truths.since("ThreadPoolExhausted fastapi"), give=6, by=("alertname", "service"), figure=last
            ),
            Proof(
                "database",
                truths.since("DatabasePoolExhausted flask"),
                give=6,
                by=("alertname", "service"),
                figure=last,
            ),
        )
    },
}

WHERE: Panels = {
    "Two witnesses: p95 that clients waited, p95 that the server saw": {
        "{{service}}, its clients": (Proof("blocked", in_bucket(0.95, locust), WAIT),),
        "{{service}}": (Proof("blocked", constant(fastapi=0.2), give=LATE_SECONDS),),
    },
    "Event loop lag: how late the loop runs what is due": {
        # A block begins up to one tick (50 ms) before the tick that it makes late.
        "{{service}}": (
            Proof("one block", constant(fastapi=0.3), give=0.05),
            Proof("healthy", constant(fastapi=0), give=0.1, needs_cpu=True),
        )
    },
    "A mean request: in the queue, in the application": {
        "{{service}}, in the queue": (
            Proof("blocked", only_of("fastapi", less(0.2, average(locust))), WAIT),
            Proof("threads", only_of("flask", less(1.0, average(everyone))), WAIT, needs_cpu=True),
        ),
        "{{service}}, in the application": (
            Proof("blocked", constant(fastapi=0.2), give=LATE_SECONDS),
            Proof("threads", constant(flask=1.0), WAIT, needs_cpu=True),
        ),
    },
    "Inside the application: waiting, or on a CPU": {
        "{{service}}, waiting": tuple(Proof(phase, wait_share, give=0.05) for phase in ("healthy", "burning")),
        "{{service}}, on a CPU": tuple(Proof(phase, cpu_share, give=0.05) for phase in ("healthy", "burning")),
    },
    "Thread-pool tokens": {
        "{{service}}, borrowed": (Proof("threads", constant(fastapi=FASTAPI * TOKENS), **USUAL),),
        "{{service}}, waiting": (Proof("threads", constant(fastapi=20 - FASTAPI * TOKENS), **USUAL),),
        "{{service}}, tokens": (Proof("threads", constant(fastapi=FASTAPI * TOKENS), **EXACT),),
    },
    "Executor threads": {
        "{{service}}, busy": (Proof("burning", constant(fastapi=FASTAPI * EXECUTOR_THREADS), **USUAL),),
        "{{service}}, waiting": (Proof("burning", constant(fastapi=10 - FASTAPI * EXECUTOR_THREADS), **USUAL),),
        "{{service}}, threads": (Proof("burning", constant(fastapi=FASTAPI * EXECUTOR_THREADS), **EXACT),),
    },
    "Accept queue": {
        "{{service}}, waiting": (
            Proof("frozen", constant(flask=QUEUED, fastapi=0), **EXACT),
            Proof("healthy", constant(flask=0, fastapi=0), give=0.5),
        )
    },
    "Accept queue: share of its limit": {
        "{{service}}": (Proof("frozen", kernel_truths.queue_filled(QUEUED), **EXACT),)
    },
    "Database connections": {
        "{{service}}, used": (
            Proof("database", constant(flask=FLASK * POOL_SIZE, fastapi=FASTAPI * POOL_SIZE), **USUAL),
        ),
        "{{service}}, waiting": (
            Proof("database", constant(flask=9 - FLASK * POOL_SIZE, fastapi=12 - FASTAPI * POOL_SIZE), **USUAL),
        ),
        "{{service}}, at most": (
            Proof("database", constant(flask=FLASK * POOL_SIZE, fastapi=FASTAPI * POOL_SIZE), **EXACT),
        ),
    },
    "Wait for a database connection: p95": {
        "{{service}}": (Proof("database", in_bucket(0.95, everyone, less=0.5), WAIT),)
    },
    "Wait in the task queue: p95": {"{{service}}": (Proof("queueing", truths.queued(0.95), WAIT),)},
    "WebSockets open": {"{{service}}": (Proof("long answers", constant(fastapi=SOCKETS), **EXACT),)},
    "WebSocket messages/s": {
        "{{service}}, received": (Proof("long answers", truths.echoes, RATE),),
        "{{service}}, sent": (Proof("long answers", truths.echoes, RATE),),
    },
    "Parts of long answers: p95": {
        "{{service}}, {{part}}": (
            Proof(
                "long answers",
                constant(**{"fastapi gap": INTERVAL_SECONDS, "fastapi first_event": 0.0}),
                give=LATE_SECONDS,
                by=("service", "part"),
            ),
        )
    },
}

WORKERS_: Panels = {
    "Share of each worker": {
        "{{service}} {{worker}} {{replica}}": (
            Proof("one block", truths.shares, RATE, give=0.01, **BY_WORKER),
            Proof("threads", truths.shares, RATE, **BY_WORKER, needs_cpu=True),
        ),
        "{{service}}, fair share": (Proof("healthy", constant(flask=1 / FLASK, fastapi=1 / FASTAPI), **EXACT),),
    },
    "Busy workers": {
        "{{service}}, busy": (
            Proof("threads", constant(flask=FLASK, fastapi=FASTAPI), **EXACT),
            Proof("burning", constant(flask=1, fastapi=FASTAPI), **USUAL),
        ),
        "{{service}}, alive": (Proof("threads", constant(flask=FLASK, fastapi=FASTAPI), **EXACT),),
    },
    "Busy worker threads": {
        "{{service}}, busy": (Proof("threads", constant(flask=FLASK * THREADS), **USUAL),),
        "{{service}}, waiting": (Proof("threads", constant(flask=30 - FLASK * THREADS), **USUAL),),
        "{{service}}, threads": (Proof("threads", constant(flask=FLASK * THREADS), **EXACT),),
    },
    "Workers: asked for, alive": {
        "{{service}}, alive": (
            Proof("healthy", constant(flask=FLASK, fastapi=FASTAPI), **EXACT),
            Proof("scaled", constant(flask=FLASK + 1, fastapi=FASTAPI), **EXACT),
            Proof("half dead", constant(flask=FLASK, fastapi=FASTAPI), **EXACT),
        ),
        "{{service}}, asked for": (
            Proof("healthy", constant(flask=FLASK, fastapi=FASTAPI), **EXACT),
            Proof("scaled", constant(flask=FLASK + 1, fastapi=FASTAPI), **EXACT),
            Proof("half dead", constant(flask=FLASK + 1, fastapi=FASTAPI), **EXACT),
        ),
    },
    "Lifespans: started, stopped": {
        "{{service}}, started": (Proof("healthy", constant(fastapi=FASTAPI), **EXACT),),
        "{{service}}, stopped": (Proof("healthy", constant(fastapi=0), **EXACT),),
    },
    "CPU of each worker, in cores": {
        "{{service}} {{worker}} {{replica}}": (
            Proof("burning", grown("cpu_seconds"), KERNEL, give=0.02, **BY_WORKER),
            Proof("generator", grown("cpu_seconds"), KERNEL, give=0.02, **BY_WORKER),
        )
    },
    "CPU of each service, in cores": {
        "{{service}}": (Proof("burning", grown("cpu_seconds", whose_service), KERNEL, give=0.02),),
        "cores there are": (Proof("healthy", total(CPUS), **ALONE, **EXACT),),
    },
    "Memory of each worker (PSS)": {
        "{{service}} {{worker}} {{replica}}": (Proof("healthy", kernel_truths.memory, KERNEL, **BY_WORKER),)
    },
    "Context switches/s": {
        "{{service}}, had to wait": (Proof("healthy", grown("voluntary", whose_service), KERNEL),),
        "{{service}}, was pushed off": (Proof("cpu", grown("involuntary", whose_service), PUSHED),),
    },
    "CPU of the machine, in cores": {
        "{{mode}}": (Proof("burning", kernel_truths.host_cpu, KERNEL, give=0.05 * CPUS, by=("mode",)),),
        "cores there are": (Proof("healthy", total(CPUS), **ALONE, **EXACT),),
    },
}

LOAD: Panels = {
    "Users": {
        "{{process}}": (
            Proof("healthy", constant(main=20), by=("process",), **EXACT),
            Proof("blocked", constant(main=10), by=("process",), **EXACT),
        )
    },
    "Answers/s": {
        "{{service}}, its clients": (Proof("healthy", rate(locust), RATE), Proof("blocked", rate(locust), RATE))
    },
    "Failures/s": {
        "{{service}}, its clients": (
            Proof("failing", rate(locust, truths.failed), RATE),
            Proof("healthy", constant(fastapi=0), **EXACT),
        )
    },
    # Of its figure for each second, Prometheus sees every other.
    "CPU of Locust, of one core": {
        "{{process}}": (
            Proof("healthy", kernel_truths.locust_cpu, give=0.03, by=("process",)),
            Proof("generator", kernel_truths.locust_cpu, give=0.08, by=("process",)),
        )
    },
    # The median of the blocked is the one or the other of two modes.
    "p50 by request": {"{{name}}": (Proof("healthy", in_bucket(0.5, locust, truths.name), WAIT, by=("name",)),)},
    "p95 by request": {
        "{{name}}": tuple(
            Proof(phase, in_bucket(0.95, locust, truths.name), WAIT, by=("name",)) for phase in ("healthy", "blocked")
        )
    },
    "What Locust counted": {
        "answers": (Proof("healthy", truths.counted, give=5, by=("name", "outcome"), figure=last),)
    },
    "What the services counted": {"requests": (Proof("half dead", truths.ledger, by=("service", "outcome"), **EXACT),)},
}

TRACES: Panels = {
    "Sampled requests that took longer than 100 ms in the application": {"traces": ()},  # of Tempo, which is not here
    "Response time, each dot a sampled request": {
        f"{{{{service}}}} p{q * 100:.0f}": (Proof("healthy", between(waits(0.2), percentile(q, everyone)), WAIT),)
        for q in (0.5, 0.95)
    },
    "Spans/s": {
        "{{service}}, exported": (Proof("one block", truths.spans, RATE, give=0.3),),
        "{{service}}, dropped": (Proof("one block", constant(flask=0, fastapi=0), **EXACT),),
    },
}

PROOFS: Mapping[str, Panels] = {
    "overview": OVERVIEW,
    "where-the-time-goes": WHERE,
    "workers": WORKERS_,
    "load": LOAD,
    "traces": TRACES,
}
