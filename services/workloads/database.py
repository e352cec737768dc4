"""What every driver of PostgreSQL shares: its address, how long anyone waits, the query, and what failures mean."""

from collections.abc import Sequence

from services import settings
from services.problem import Problem, TimedOut, Unavailable

DEPENDENCY = "postgresql"
# For a connection from the pool, and again for an answer beyond the time it was asked to take: both together stay
# below the five seconds in which a failing dependency must have become an answer.
WAIT_SECONDS = 2.0

# One round trip that takes its time in the server. The digest proves that the server worked on this request's value.
# {0} is where the driver puts ms.
NAP = "SELECT pg_backend_pid(), md5({0}::int::text) FROM pg_sleep({0}::int / 1000.0)"


def address() -> str:
    """The configured address, or Problem 503 saying that there is none."""
    if settings.current.database_url is None:
        raise Unavailable(DEPENDENCY, "This service was started without a database: set DATABASE_URL.")
    return settings.current.database_url


def seconds(ms: int) -> float:
    """How long a query that should take `ms` may take."""
    return ms / 1000 + WAIT_SECONDS


def answer(row: Sequence[object] | None, ms: int) -> dict[str, object]:
    """What a query workload answers; Problem 502 when the database sent no row."""
    if row is None:
        raise Problem(502, "The database answered without a row.", dependency=DEPENDENCY)
    backend, md5 = row
    return {"ms": ms, "backend": backend, "md5": md5}


def no_connection() -> Unavailable:
    """The problem of a caller whom the pool could give nothing."""
    size = settings.current.pool_size
    return Unavailable(
        DEPENDENCY,
        f"No connection in {WAIT_SECONDS} s: all {size} of this worker's pool are in use, or none can be made.",
    )


def late() -> TimedOut:
    """The problem of a query that the server took and did not answer."""
    return TimedOut(DEPENDENCY, "The database took the query and did not answer in time.")


def failed() -> Unavailable:
    """The problem of a query whose connection broke, or could not be made."""
    return Unavailable(DEPENDENCY, "The connection to the database failed.")
