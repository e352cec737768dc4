"""PostgreSQL through bounded, lazily opened psycopg pools: one that blocks its thread and one that awaits.

Imported at first use. A connection that died while it lay in the pool is found by a look at its socket, which costs
microseconds; psycopg_pool's own check costs a round trip and, when several died, seconds of back-off.
"""

import select
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import psycopg_pool
from psycopg.errors import _WaitTimeout
from psycopg.rows import TupleRow

from services import settings
from services.workloads import database
from services.workloads.database import WAIT_SECONDS
from services.workloads.lazy import Lazy
from waitlab import telemetry

CLOSE_SECONDS = 1.0
NAP = database.NAP.format("%(ms)s")


class Connection(psycopg.Connection[TupleRow]):
    """A connection whose every wait ends: a server that is frozen, not dead, sends nothing that would end it."""

    seconds = WAIT_SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's, for `seconds` at most."""
        return super().wait(gen, interval, timeout or self.seconds)


class AsyncConnection(psycopg.AsyncConnection[TupleRow]):
    """As `Connection`, awaiting."""

    seconds = WAIT_SECONDS

    async def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg's, for `seconds` at most."""
        return await super().wait(gen, interval, timeout or self.seconds)


def pool_options() -> dict[str, Any]:
    """How every pool behaves. No connection is opened before one is asked for."""
    return {
        "min_size": 0,
        "max_size": settings.current.pool_size,
        "max_idle": 60.0,
        # Short, since a pool that backs off for minutes does not notice that the server came back.
        "reconnect_timeout": WAIT_SECONDS,
    }


def connection_options() -> dict[str, Any]:
    """How every connection is made. autocommit: a SELECT needs no transaction, which would be two more round trips."""
    return {"autocommit": True, "connect_timeout": 2, "application_name": settings.current.service}


def _options(name: str) -> dict[str, Any]:
    """What both pools are made with."""
    return {
        "conninfo": database.address(),
        "name": name,
        "open": False,
        "kwargs": connection_options(),
        **pool_options(),
    }


def _make() -> psycopg_pool.ConnectionPool[Connection]:
    made = psycopg_pool.ConnectionPool(connection_class=Connection, **_options("psycopg"))
    made.open()
    telemetry.watch_pool("psycopg", lambda: state(made.get_stats()))
    return made


def _make_async() -> psycopg_pool.AsyncConnectionPool[AsyncConnection]:
    made = psycopg_pool.AsyncConnectionPool(connection_class=AsyncConnection, **_options("psycopg-async"))
    telemetry.watch_pool("psycopg-async", lambda: state(made.get_stats()))
    return made


pool = Lazy(_make, close=lambda made: made.close(CLOSE_SECONDS))
async_pool = Lazy(_make_async, close=lambda made: made.close(CLOSE_SECONDS))


def state(stats: dict[str, int]) -> telemetry.PoolState:
    """What a pool says of itself, for telemetry."""
    used = stats["pool_size"] - stats["pool_available"]
    return telemetry.PoolState(size=stats["pool_max"], used=used, waiting=stats["requests_waiting"])


@contextmanager
def connection() -> Iterator[Connection]:
    """A live connection from the pool; what the database raises leaves as Problem 503 or 504."""
    with answering():
        ours, began = pool.get(), time.perf_counter()
        while gone(held := ours.getconn(began + WAIT_SECONDS - time.perf_counter())):
            held.close()
            ours.putconn(held)  # replaced by the pool
        telemetry.pool_waited("psycopg", time.perf_counter() - began)
        try:
            yield held
        finally:
            ours.putconn(held)


@asynccontextmanager
async def async_connection() -> AsyncIterator[AsyncConnection]:
    """As `connection`, awaiting."""
    with answering():
        ours, began = async_pool.get(), time.perf_counter()
        await ours.open()
        while gone(held := await ours.getconn(began + WAIT_SECONDS - time.perf_counter())):
            await held.close()
            await ours.putconn(held)
        telemetry.pool_waited("psycopg-async", time.perf_counter() - began)
        try:
            yield held
        finally:
            await ours.putconn(held)


def query(held: Connection, ms: int) -> dict[str, object]:
    """One round trip that takes `ms`."""
    held.seconds = database.seconds(ms)
    return database.answer(held.execute(NAP, {"ms": ms}).fetchone(), ms)


async def async_query(held: AsyncConnection, ms: int) -> dict[str, object]:
    """As `query`, awaiting."""
    held.seconds = database.seconds(ms)
    answer = await held.execute(NAP, {"ms": ms})
    return database.answer(await answer.fetchone(), ms)


def gone(idle: psycopg.Connection[TupleRow] | psycopg.AsyncConnection[TupleRow]) -> bool:
    """True when an idle connection has something to read: nobody asked, so it is the server saying goodbye."""
    if idle.closed:
        return True
    poll = select.poll()
    poll.register(idle.fileno(), select.POLLIN)
    return bool(poll.poll(0))


@contextmanager
def answering() -> Iterator[None]:
    """What psycopg raises leaves as Problem 503 or 504."""
    try:
        yield
    except psycopg_pool.PoolTimeout as error:
        raise database.no_connection() from error
    except (_WaitTimeout, psycopg.errors.QueryCanceled) as error:
        raise database.late() from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise database.failed() from error
