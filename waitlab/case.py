"""What a law may know of an arm before it runs: its load, its service as it is set, and where its request waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from waitlab.errors import LabError

# Workloads that call the upstream, once each; and those that wait more than once, each as long: for two queries first.
FETCHING = (
    *("fetch", "profile", "client-per-request", "client-per-request-corrected"),
    *("httpx-await", "httpx-await-corrected"),
)
# Values of `dep` with which depends asks the database, and on a connection from the pool waits there.
ON_A_CONNECTION = ("session", "sqlalchemy", "user")
WAITS = {"profile": 3, "httpx-await-corrected": 3}


@dataclass(frozen=True)
class Case:
    """One arm with every default filled in. `workers` are processes; `cores` are those the service may use.

    `parameters` are those that the request names: a law that needs one which is left out to its default says so.
    """

    style: str
    workload: str
    worker_class: str  # sync | gthread | gevent | asgi
    workers: int
    threads: int
    tokens: int
    executor_threads: int
    pool_size: int
    cores: float
    parameters: Mapping[str, str] = field(default_factory=dict)
    users: int = 0
    think_s: float = 0.0
    concurrent: int = 0
    rate: float = 0.0
    service: str = ""
    backlog: int = 2_048  # connections that its listener lets wait in the kernel
    upstream_concurrency: int = 0  # calls that the upstream serves at once; 0: as many as come
    upstream_delay_s: float = 0.0  # what it adds to each of them

    @property
    def wait_s(self) -> float:
        """How long one request waits, without any queue."""
        added_s = self.upstream_delay_s if self.workload in FETCHING else 0.0
        return wait_s(self.style, self.workload, self.parameters) + added_s

    def parameter(self, name: str) -> str:
        """A parameter of the request; LabError when the request leaves it to its default."""
        return _named(self.style, self.workload, self.parameters, name)


def wait_s(style: str, workload: str, parameters: Mapping[str, str]) -> float:
    """How the waits of one request add up, in seconds; CPU is not in it.

    sleep, query, fetch, mixed and depends wait once; read only where a slow disk is asked for. profile and
    httpx-await-corrected wait for two queries and a fetch, one after the other; profile's file is small and in memory.
    The two sleeps of a gather overlap, but not in style `blocked`, nor in `bridged` where both go to the request's own
    thread. stream and sse wait between two items, so once less than they have items.
    """
    if workload in ("ping", "burn", "ws"):
        return 0.0
    if workload == "read":
        return _whole("ms", parameters.get("ms", "0")) / 1000
    if workload == "gather" and _named(style, workload, parameters, "of") == "burn":
        return 0.0
    if workload in ("stream", "sse"):
        items, interval = (_named(style, workload, parameters, name) for name in ("items", "interval_ms"))
        return (_whole("items", items) - 1) * _whole("interval_ms", interval) / 1000
    times = WAITS.get(workload, 1)
    if workload == "gather" and (style == "blocked" or (style == "bridged" and keeps_to_one_thread(parameters))):
        times = 2
    return times * _whole("ms", _named(style, workload, parameters, "ms")) / 1000


def keeps_to_one_thread(parameters: Mapping[str, str]) -> bool:
    """Whether a request of style `bridged` hands all it blocks in to one thread of its own: sync_to_async's default."""
    return parameters.get("sensitive", "1") == "1"


def _named(style: str, workload: str, parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        path = f"/{style}/{workload}"
        raise LabError(f"the law needs {name} of {path}", f"write it into the request: {path}?{name}=...", 2)
    return parameters[name]


def _whole(name: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise LabError(f"{name}={text[:40]!r} is not allowed", f"{name} takes a whole number", 2)
    return int(text)
