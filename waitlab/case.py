"""What a law may know of an arm before it runs: its load, its service as it is set, and where its request waits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from waitlab.errors import LabError


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

    @property
    def wait_s(self) -> float:
        """How long one request waits, without any queue."""
        return wait_s(self.style, self.workload, self.parameters)

    def parameter(self, name: str) -> str:
        """A parameter of the request; LabError when the request leaves it to its default."""
        return _named(self.style, self.workload, self.parameters, name)


def wait_s(style: str, workload: str, parameters: Mapping[str, str]) -> float:
    """How the waits of one request add up, in seconds; CPU is not in it.

    sleep, query, fetch, mixed and depends wait once. profile and httpx-await-corrected wait for two queries and a
    fetch, one after the other; profile's file is small and in memory. The two sleeps of a gather overlap, but not in
    style `blocked`.
    """
    if workload in ("ping", "read", "burn"):
        return 0.0
    if workload == "gather" and _named(style, workload, parameters, "of") == "burn":
        return 0.0
    times = 1
    if workload in ("profile", "httpx-await-corrected"):
        times = 3
    elif workload == "gather" and style == "blocked":
        times = 2
    return times * _milliseconds(_named(style, workload, parameters, "ms")) / 1000


def _named(style: str, workload: str, parameters: Mapping[str, str], name: str) -> str:
    if name not in parameters:
        path = f"/{style}/{workload}"
        raise LabError(f"the law needs {name} of {path}", f"write it into the request: {path}?{name}=...", 2)
    return parameters[name]


def _milliseconds(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise LabError(f"ms={text[:40]!r} is not allowed", "ms takes a whole number of milliseconds", 2)
    return int(text)
