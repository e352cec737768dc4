"""What every client of the upstream shares: where it is, how long a call may take, and what its answers mean."""

import ssl

from services import settings
from services.problem import TimedOut, Unavailable

DEPENDENCY = "upstream"
CONNECT_SECONDS = 1.5  # for a connection, or for a free place among those a client keeps
GRACE_SECONDS = 2.0  # beyond the time the upstream was asked to take

# Calls one process has in flight at most. A thread makes one call, so 100 are plenty for threads; coroutines are many.
BLOCKING_CALLS = 100
AWAITING_CALLS = 1_000


def address(tls: bool) -> str:
    """The upstream's base URL, or Problem 503 saying that there is none."""
    base = settings.current.upstream_tls_url if tls else settings.current.upstream_url
    if base is None:
        raise Unavailable(
            DEPENDENCY, f"This service was started without {'UPSTREAM_TLS_URL' if tls else 'UPSTREAM_URL'}."
        )
    return base.rstrip("/")


def item(ms: int, tls: bool) -> str:
    """The URL of one call that takes `ms`."""
    return f"{address(tls)}/item?ms={ms}"


def seconds(ms: int) -> float:
    """How long a call that should take `ms` may take."""
    return ms / 1000 + GRACE_SECONDS


def judge(status: int, retry_after: str | None) -> None:
    """Problem 503 for any answer but 200; the upstream's own Retry-After is passed on."""
    if status != 200:
        raise Unavailable(DEPENDENCY, f"The upstream answered {status}.", retry_after or "1")


def late(ms: int) -> TimedOut:
    """The problem of a call that had a connection and got no answer."""
    return TimedOut(DEPENDENCY, f"The upstream did not answer in {seconds(ms)} s.")


def unreachable(why: str) -> Unavailable:
    """The problem of a call that had no connection, or lost it."""
    return Unavailable(DEPENDENCY, f"The upstream could not be reached: {why}.")


def trust() -> ssl.SSLContext | None:
    """Trust in the lab's own certificate authority; None when there is none, for a client's default."""
    return ssl.create_default_context(cafile=settings.current.upstream_ca) if settings.current.upstream_ca else None
