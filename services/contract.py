"""What every stack answers: styles, workloads, their parameters and bounds, and what a stack cannot offer. Data only.

A path is /{style}/{workload}. The samples, the essays' own listings, are the workloads of style `sample`. One path has
another form: /ws, the WebSocket that sends back what it is sent.
"""

from dataclasses import dataclass
from typing import Literal

Value = int | str | bool


@dataclass(frozen=True)
class Parameter:
    """One query parameter: an `int` within bounds, one word of `choices`, or a `bool` written 0 or 1."""

    name: str
    kind: Literal["int", "choice", "bool"]
    default: Value
    minimum: int = 0
    maximum: int = 0
    choices: tuple[str, ...] = ()
    unit: str = ""

    @property
    def bounds(self) -> str:
        """The allowed values, in words fit for an error message."""
        if self.kind == "int":
            return f"a whole number from {self.minimum} to {self.maximum}" + (f" ({self.unit})" if self.unit else "")
        return "one of " + ", ".join(self.choices or ("0", "1"))


@dataclass(frozen=True)
class Endpoint:
    """One path a stack offers."""

    path: str
    style: str
    workload: str
    parameters: tuple[Parameter, ...]


@dataclass(frozen=True)
class Service:
    """One service of the lab: where its application is and what may serve it."""

    name: str
    port: int
    interface: Literal["wsgi", "asgi"]
    app: str
    servers: dict[str, tuple[str, ...]]  # server -> its worker classes; the first of each is the default
    workers: int = 2
    threads: int = 1
    pool_size: int = 10


SERVICES = {
    "flask": Service("flask", 8001, "wsgi", "services.flask_app:app", {"gunicorn": ("sync", "gthread", "gevent")}),
    "fastapi": Service(
        "fastapi",
        8002,
        "asgi",
        "services.fastapi_app:app",
        {"uvicorn": ("asgi",), "gunicorn": ("asgi",), "hypercorn": ("asgi",)},
    ),
    "django-wsgi": Service(
        "django-wsgi", 8003, "wsgi", "services.django_app:wsgi", {"gunicorn": ("sync", "gthread", "gevent")}
    ),
    "django-asgi": Service(
        "django-asgi",
        8004,
        "asgi",
        "services.django_app:asgi",
        {"uvicorn": ("asgi",), "gunicorn": ("asgi",), "hypercorn": ("asgi",)},
    ),
}

STYLES = ("sync", "async", "blocked", "offload", "bridged")
SAMPLE = "sample"


def _milliseconds(default: int, maximum: int = 10_000) -> Parameter:
    return Parameter("ms", "int", default, 0, maximum, unit="milliseconds of waiting")


def _choice(name: str, *choices: str) -> Parameter:
    return Parameter(name, "choice", choices[0], choices=choices)


# A round is about 1 ms of CPU on the reference machine (workloads/rounds.py), so 2,000 are about 2 CPU seconds.
ROUNDS = Parameter("rounds", "int", 10, 1, 2_000, unit="rounds of about 1 ms CPU")
BURN_KIND = _choice("kind", "loop", "hash", "zlib")

# Of style bridged, beside the workload's own: whether sync_to_async keeps to the request's own thread (its default).
SENSITIVE = Parameter("sensitive", "bool", True)

# An answer of many items: stream writes them as JSON lines, sse as server-sent events.
LONG = (
    Parameter("items", "int", 10, 1, 1_000, unit="items"),
    Parameter("interval_ms", "int", 100, 0, 10_000, unit="milliseconds between two items"),
    Parameter("kb", "int", 0, 0, 64, unit="KiB of padding in each item"),
    Parameter("buffered", "bool", False),
)
# The same where nobody can end it early: a loop that is blocked, or a thread that makes all of it before any is sent.
SHORT = (
    Parameter("items", "int", 10, 1, 100, unit="items"),
    Parameter("interval_ms", "int", 100, 0, 100, unit="milliseconds between two items"),
    *LONG[2:],
)

# Parameters of a workload in a style that waits by blocking; what differs when the style awaits stands below it.
# profile waits three times and a blocked gather twice, so their bound keeps every request under ten seconds.
WORKLOADS: dict[str, tuple[Parameter, ...]] = {
    "ping": (),
    "sleep": (_milliseconds(200),),
    "query": (_milliseconds(50), _choice("driver", "psycopg")),
    "fetch": (_milliseconds(200), _choice("client", "requests", "httpx"), Parameter("tls", "bool", False)),
    "read": (
        Parameter("kb", "int", 64, 0, 65_536, unit="KiB read"),
        Parameter("cold", "bool", False),
        Parameter("ms", "int", 0, 0, 10_000, unit="milliseconds that a slow disk takes first"),
    ),
    "burn": (ROUNDS, BURN_KIND),
    "mixed": (_milliseconds(100), ROUNDS),
    "profile": (_milliseconds(50, 3_000),),
    "depends": (_milliseconds(50), _choice("dep", "sync", "async", "session", "sqlalchemy", "user")),
    "gather": (_choice("of", "sleep", "burn"), _milliseconds(200, 5_000), ROUNDS),
    "stream": LONG,
    "sse": LONG,
}
WHEN_AWAITING: dict[str, tuple[Parameter, ...]] = {
    "query": (_milliseconds(50), _choice("driver", "psycopg", "asyncpg")),
    "fetch": (_milliseconds(200), _choice("client", "aiohttp", "httpx"), Parameter("tls", "bool", False)),
}

WHEN_OFFLOADED: dict[str, tuple[Parameter, ...]] = {
    "burn": (ROUNDS, BURN_KIND, _choice("to", "processes", "queue")),
}

# How Django's ORM is asked without a driver that awaits: `aget`, or `async for` over the rows.
ORM = _choice("orm", "aget", "for")

# (stack, style, workload) -> its parameters where they are not those of the style.
AT_ONE_STACK: dict[tuple[str, str, str], tuple[Parameter, ...]] = {
    ("django-asgi", "async", "query"): (*WHEN_AWAITING["query"], ORM),
    ("django-wsgi", "async", "query"): (*WORKLOADS["query"], ORM),  # a pool of asyncpg belongs to one loop
    **{
        (stack, style, workload): SHORT
        for stack, style in (("fastapi", "blocked"), ("django-asgi", "blocked"), ("django-asgi", "sync"))
        for workload in ("stream", "sse")
    },
}

SAMPLES: dict[str, tuple[Parameter, ...]] = {
    "httpx-await": (_milliseconds(200, 3_000),),
    "httpx-await-corrected": (_milliseconds(200, 3_000),),
    "client-per-request": (_milliseconds(200),),
    "client-per-request-corrected": (_milliseconds(200),),
    "def-asyncio-run": (_milliseconds(200),),
    "def-asyncio-run-corrected": (_milliseconds(200),),
}

# The WebSocket's path, what it is measured as, and stack -> why there is none.
SOCKET = "/ws"
SOCKET_NAME = ("async", "ws")
NO_SOCKET = dict.fromkeys(
    ("flask", "django-wsgi"),
    "WSGI hands over one request and takes one answer: it cannot hold a WebSocket. Ask an ASGI service for /ws.",
)

# Answered by every service, without parameters, and left out of every metric.
UNMEASURED = frozenset({"/healthz", "/readyz", "/about", "/metrics"})

# (stack, style, workload) -> why there is no such endpoint; * stands for any. The first line that fits is the answer.
NOT_OFFERED: dict[tuple[str, str, str], str] = {
    ("flask", "sample", "*"): "The samples are FastAPI listings; ask the FastAPI service for them.",
    ("flask", "async", "stream"): "Flask cannot send what an async generator yields; see sync/stream.",
    ("flask", "async", "sse"): "Flask cannot send what an async generator yields; see sync/sse.",
    ("flask", "*", "depends"): "Flask has no dependency injection; depends is about FastAPI's.",
    ("flask", "sync", "gather"): "gather waits for two things on one event loop; see async/gather.",
    **dict.fromkeys(
        (("flask", "async", workload) for workload in ("query", "fetch", "read", "profile")),
        "Flask gives each async request an event loop of its own, and a shared client or pool belongs to one loop.",
    ),
    ("flask", "blocked", "*"): "Flask has no event loop that requests share, for one to block it; see sync, async.",
    ("flask", "offload", "*"): "Flask has no event loop that requests share, to hand work away from; see sync, async.",
    ("flask", "bridged", "*"): "bridged is Django's sync_to_async around a blocking call; ask django-asgi for it.",
    ("fastapi", "bridged", "*"): "bridged is Django's sync_to_async around a blocking call; FastAPI's way is offload.",
    ("fastapi", "sync", "gather"): "gather waits for two things on one event loop; a def handler runs in a thread.",
    ("fastapi", "blocked", "depends"): "FastAPI sends def dependencies to a thread; see async/depends, sync/depends.",
    ("fastapi", "offload", "depends"): "FastAPI decides where a dependency runs; see async/depends and sync/depends.",
    **{
        (stack, style, workload): why
        for stack in ("django-wsgi", "django-asgi")
        for (style, workload), why in {
            ("sample", "*"): "The samples are FastAPI listings; ask the FastAPI service for them.",
            ("*", "depends"): "Django has no dependency injection; depends is about FastAPI's.",
            ("sync", "gather"): "gather waits for two things on one event loop; a def view runs in a thread.",
        }.items()
    },
    **dict.fromkeys(
        (("django-wsgi", "async", workload) for workload in ("fetch", "read", "profile")),
        "Under WSGI each async request has an event loop of its own, and a shared client or pool belongs to one loop.",
    ),
    **dict.fromkeys(
        (("django-wsgi", "async", workload) for workload in ("stream", "sse")),
        "Under WSGI Django reads an async generator to its end before it sends a byte; see style sync.",
    ),
    ("django-wsgi", "blocked", "*"): "Under WSGI no event loop is shared that a view could block; see sync, async.",
    ("django-wsgi", "offload", "*"): "Under WSGI no event loop is shared to hand work away from; see sync, async.",
    ("django-wsgi", "bridged", "*"): "Under WSGI a worker waits for its view, wherever that hands its work; see sync.",
    **dict.fromkeys(
        (("django-asgi", "blocked", workload) for workload in ("query", "profile")),
        "Django's ORM refuses to be called on an event loop (SynchronousOnlyOperation); see async, bridged.",
    ),
    ("django-asgi", "offload", "*"): "Django hands blocking calls away with sync_to_async: see bridged.",
    **dict.fromkeys(
        (("django-asgi", "bridged", workload) for workload in ("stream", "sse")),
        "bridged hands one call away, and a stream waits between many; see sync, async.",
    ),
}

# Style async on a WSGI stack, whatever the workload, when its worker class is gevent.
NOT_UNDER_GEVENT = (
    "Under gevent the requests of a worker share one thread, and a thread runs one event loop at a time, where each "
    "async request needs its own: use worker class sync or gthread."
)


def parameters(style: str, workload: str, stack: str = "") -> tuple[Parameter, ...]:
    """The parameters of `workload` in `style`, in the order of the contract; KeyError when there is no such pair."""
    if (stack, style, workload) in AT_ONE_STACK:
        return AT_ONE_STACK[stack, style, workload]
    if style == SAMPLE:
        return SAMPLES[workload]
    if style == "bridged":
        return (*WORKLOADS[workload], SENSITIVE)
    if style == "async" and workload in WHEN_AWAITING:
        return WHEN_AWAITING[workload]
    if style == "offload" and workload in WHEN_OFFLOADED:
        return WHEN_OFFLOADED[workload]
    return WORKLOADS[workload]


def pairs() -> tuple[tuple[str, str], ...]:
    """Every (style, workload) the contract knows, offered or not."""
    plain = tuple((style, workload) for style in STYLES for workload in WORKLOADS)
    return plain + tuple((SAMPLE, name) for name in SAMPLES)


def reason(stack: str, style: str, workload: str) -> str:
    """Why `stack` does not offer this pair; empty when it does, or when the contract has no such pair."""
    asked = (stack, style, workload)
    for known, why in NOT_OFFERED.items():
        if all(mine in ("*", theirs) for mine, theirs in zip(known, asked, strict=True)):
            return why if (style, workload) in pairs() else ""
    return ""


def offered(stack: str) -> dict[str, Endpoint]:
    """path -> Endpoint, for everything `stack` offers."""
    return {
        f"/{style}/{workload}": Endpoint(f"/{style}/{workload}", style, workload, parameters(style, workload, stack))
        for style, workload in pairs()
        if not reason(stack, style, workload)
    }
