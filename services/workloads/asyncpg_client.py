"""PostgreSQL through a bounded asyncpg pool: the arm that asks whether the driver matters. Imported at first use."""

import time

import asyncpg  # type: ignore[import-untyped]

from services import settings
from services.workloads import database
from services.workloads.database import WAIT_SECONDS
from services.workloads.lazy import Lazy
from waitlab import telemetry

_waiting = 0  # callers that wait for a connection; asyncpg itself does not say how many do


async def _keep(_connection: object) -> None:
    """No reset between users: it would be a second round trip, and no query of ours leaves anything behind."""


def _make() -> asyncpg.Pool:
    made = asyncpg.create_pool(
        database.address(),
        min_size=0,
        max_size=settings.current.pool_size,
        timeout=WAIT_SECONDS,
        reset=_keep,
        max_inactive_connection_lifetime=60.0,
        server_settings={"application_name": settings.current.service},
    )
    telemetry.watch_pool("asyncpg", lambda: _state(made))
    return made


pool = Lazy(_make, close=lambda made: made.terminate())


def _state(made: asyncpg.Pool) -> telemetry.PoolState:
    used = made.get_size() - made.get_idle_size()
    return telemetry.PoolState(size=made.get_max_size(), used=used, waiting=_waiting)


async def query(ms: int) -> dict[str, object]:
    """One round trip that takes `ms`; Problem 503 or 504 when it fails."""
    global _waiting
    ours, began = pool.get(), time.perf_counter()
    _waiting += 1
    try:
        await ours  # opens it, the first time
        held = await ours.acquire(timeout=WAIT_SECONDS)
    except TimeoutError as error:
        raise database.no_connection() from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise database.failed() from error
    finally:
        _waiting -= 1
    telemetry.pool_waited("asyncpg", time.perf_counter() - began)
    try:
        row = await held.fetchrow(database.NAP.format("$1"), ms, timeout=database.seconds(ms))
    except TimeoutError as error:
        held.terminate()  # else its release would wait for the server to confirm that the query is cancelled
        raise database.late() from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise database.failed() from error
    finally:
        await ours.release(held, timeout=WAIT_SECONDS)
    return database.answer(row and tuple(row), ms)
