"""What the engine says of the lab's containers: ./lab asks it, since no container may, and hands on the answer.

LAB_CONTAINERS has a line a container: service, short id, state, health, whether it was out of memory, exit code, memory
limit in bytes, and what it publishes (address:port:port/tcp, ...; or -).
"""

import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

NEEDED = (
    *("postgres", "upstream", "host", "flask", "fastapi", "django-wsgi", "django-asgi", "edge"),
    *("locust", "locust-worker", "prometheus"),
)
OPTIONAL = ("tempo", "grafana")  # LAB_TEMPO=0 and LAB_GRAFANA=0 leave them out
PARTS = (*NEEDED, *OPTIONAL)  # in the order they are shown
PUBLISHED = {  # the part a person knows: its container, and the port inside that is published
    "flask": ("edge", 8001),
    "fastapi": ("edge", 8002),
    "django-wsgi": ("edge", 8003),
    "django-asgi": ("edge", 8004),
    "locust": ("locust", 8089),
    "prometheus": ("prometheus", 9090),
    "grafana": ("grafana", 3000),
}


@dataclass(frozen=True)
class Container:
    """One container of the lab."""

    service: str
    id: str
    state: str
    health: str
    out_of_memory: bool
    exit_code: int
    memory_limit: int
    published: dict[int, str]

    @property
    def runs(self) -> bool:
        return self.state == "running"

    @property
    def word(self) -> str:
        """Its state in the lab's own words: starting, healthy or dead."""
        if not self.runs:
            return "dead"
        return "starting" if self.health == "starting" else "healthy"

    @property
    def ailment(self) -> str:
        """What the engine finds wrong with it, empty when nothing."""
        if self.runs:
            return "fails its health check" if self.health == "unhealthy" else ""
        if self.out_of_memory:
            return f"was killed for lack of memory ({memory_hint(self.service, self.memory_limit)})"
        if self.exit_code > 128:
            with suppress(ValueError):
                return f"was killed by {signal.Signals(self.exit_code - 128).name}"
        return f"is {self.state}" if self.state in ("paused", "created") else f"ended with exit code {self.exit_code}"


def memory_hint(service: str, limit_bytes: float) -> str:
    """How much memory a service's container may have, where that is limited, and which setting says so."""
    limit = f"limit {limit_bytes / 2**20:.0f} MB; " if limit_bytes else ""
    return f"{limit}{service.upper().replace('-', '_')}_MEMORY gives it more"


def read(environment: Mapping[str, str]) -> list[Container]:
    """The containers that LAB_CONTAINERS tells of, in the order of the parts; `setup`, which has ended, is none."""
    found = [_container(*line.split()) for line in environment.get("LAB_CONTAINERS", "").splitlines() if line.strip()]
    return sorted((one for one in found if one.service in PARTS), key=lambda one: PARTS.index(one.service))


def _container(  # noqa: PLR0917  a line's fields
    service: str, short_id: str, state: str, health: str, oom: str, code: str, memory: str, published: str
) -> Container:
    here = published.replace("0.0.0.0:", "127.0.0.1:")  # any address of the machine, so this one too
    ports = {int(inside): f"http://{outside}" for outside, inside in re.findall(r"([^,]+):(\d+)/tcp", here)}
    return Container(service, short_id, state, health, oom == "true", int(code), int(memory), ports)
