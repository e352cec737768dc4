"""What every stack answers: styles, workloads, their parameters and bounds, and what a stack cannot offer. Data only.

A path is /{style}/{workload}. The samples, the essays' own listings, are the workloads of style `sample`.
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
        "fastapi", 8002, "asgi", "services.fastapi_app:app", {"uvicorn": ("asgi",), "gunicorn": ("asgi",)}
    ),
}

STYLES = ("sync", "async", "blocked", "offload")
SAMPLE = "sample"


def _milliseconds(default: int, maximum: int = 10_000) -> Parameter:
    return Parameter("ms", "int", default, 0, maximum, unit="milliseconds of waiting")


def _choice(name: str, *choices: str) -> Parameter:
    return Parameter(name, "choice", choices[0], choices=choices)


# A round is about 1 ms of CPU on the reference machine (workloads/rounds.py), so 2,000 are about 2 CPU seconds.
ROUNDS = Parameter("rounds", "int", 10, 1, 2_000, unit="rounds of about 1 ms CPU")
BURN_KIND = _choice("kind", "loop", "hash", "zlib")

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
    ),
    "burn": (ROUNDS, BURN_KIND),
    "mixed": (_milliseconds(100), ROUNDS),
    "profile": (_milliseconds(50, 3_000),),
    "depends": (_milliseconds(50), _choice("dep", "sync", "async", "session")),
    "gather": (_choice("of", "sleep", "burn"), _milliseconds(200, 5_000), ROUNDS),
}
WHEN_AWAITING: dict[str, tuple[Parameter, ...]] = {
    "query": (_milliseconds(50), _choice("driver", "psycopg", "asyncpg")),
    "fetch": (_milliseconds(200), _choice("client", "aiohttp", "httpx"), Parameter("tls", "bool", False)),
}

SAMPLES: dict[str, tuple[Parameter, ...]] = {
    "httpx-await": (_milliseconds(200, 3_000),),
    "httpx-await-corrected": (_milliseconds(200, 3_000),),
    "client-per-request": (_milliseconds(200),),
    "client-per-request-corrected": (_milliseconds(200),),
    "def-asyncio-run": (_milliseconds(200),),
    "def-asyncio-run-corrected": (_milliseconds(200),),
}

# Answered by every service, without parameters, and left out of every metric.
UNMEASURED = frozenset({"/healthz", "/readyz", "/about", "/metrics"})

# (stack, style, workload) -> why there is no such endpoint; * stands for any. The first line that fits is the answer.
NOT_OFFERED: dict[tuple[str, str, str], str] = {
    ("flask", "sample", "*"): "The samples are FastAPI listings; ask the FastAPI service for them.",
    ("flask", "async", "*"): "Flask has no event loop: a request keeps its thread. Only style sync is offered.",
    ("flask", "blocked", "*"): "Flask has no event loop that a handler could block. Only style sync is offered.",
    ("flask", "offload", "*"): "Flask has no event loop to hand work away from. Only style sync is offered.",
    ("flask", "*", "depends"): "Flask has no dependency injection; depends is about FastAPI's.",
    ("flask", "*", "gather"): "gather waits for two things on one event loop, and Flask has none.",
    ("fastapi", "sync", "gather"): "gather waits for two things on one event loop; a def handler runs in a thread.",
    ("fastapi", "blocked", "depends"): "FastAPI sends def dependencies to a thread; see async/depends, sync/depends.",
    ("fastapi", "offload", "depends"): "FastAPI decides where a dependency runs; see async/depends and sync/depends.",
}


def parameters(style: str, workload: str) -> tuple[Parameter, ...]:
    """The parameters of `workload` in `style`, in the order of the contract; KeyError when there is no such pair."""
    if style == SAMPLE:
        return SAMPLES[workload]
    if style == "async" and workload in WHEN_AWAITING:
        return WHEN_AWAITING[workload]
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
        f"/{style}/{workload}": Endpoint(f"/{style}/{workload}", style, workload, parameters(style, workload))
        for style, workload in pairs()
        if not reason(stack, style, workload)
    }
