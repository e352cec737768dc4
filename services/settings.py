"""What this process was told about itself and its dependencies; set once by whoever starts it, read by handlers."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """The keyword arguments of an application's `configure`; a dependency that is None is not there."""

    service: str = ""
    database_url: str | None = None
    upstream_url: str | None = None
    upstream_tls_url: str | None = None
    upstream_ca: str | None = None  # path of a PEM file that the upstream's certificate is checked against
    pool_size: int = 10
    tokens: int = 40
    executor_threads: int | None = None  # None: as CPython decides
    receivers: bool = True  # Django's own, of each request's start and end
    middleware: str = "none"  # Django's: none | sync | both
    about: Mapping[str, object] = field(default_factory=dict)


current = Settings()


def configure(**settings: object) -> None:
    """Call once in a process, before its first request; connections are opened later, at first use."""
    global current
    current = Settings(**settings)  # type: ignore[arg-type]
