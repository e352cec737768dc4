"""PostgreSQL through SQLAlchemy's sessions, on psycopg: one engine that blocks its thread and one that awaits.

Imported at first use. The pools are bounded as the others are: POOL_SIZE connections, no overflow, two seconds for one.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import Lock
from typing import Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import AsyncAdaptedQueuePool, PoolProxiedConnection, QueuePool

from services import settings
from services.workloads import database, postgres
from services.workloads.lazy import Lazy
from waitlab import telemetry

NAP = text(database.NAP.format("(:ms)"))
USER = text("SELECT session_user")


class _Pool(QueuePool):
    """SQLAlchemy's pool, which does not tell how many wait for a connection, nor how long they did."""

    name = "sqlalchemy"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._waiting, self._counting = 0, Lock()
        telemetry.watch_pool(self.name, self.state)

    def state(self) -> telemetry.PoolState:
        """For telemetry."""
        return telemetry.PoolState(size=self.size(), used=self.checkedout(), waiting=self._waiting)

    def connect(self) -> PoolProxiedConnection:
        """A connection, waited for as long as the pool allows."""
        began = time.perf_counter()
        self._wait(1)
        try:
            return super().connect()
        finally:
            self._wait(-1)
            telemetry.pool_waited(self.name, time.perf_counter() - began)

    def _wait(self, more: int) -> None:
        with self._counting:
            self._waiting += more


class _AsyncPool(_Pool, AsyncAdaptedQueuePool):
    """As `_Pool`, awaiting."""

    name = "sqlalchemy-async"


def _options() -> dict[str, Any]:
    return {
        "pool_size": settings.current.pool_size,
        "max_overflow": 0,
        "pool_timeout": database.WAIT_SECONDS,
        "pool_reset_on_return": None,  # autocommit: nothing is left behind that would have to be rolled back
    }


def _make() -> Engine:
    address, options = database.address(), postgres.connection_options()
    made = create_engine(
        "postgresql+psycopg://",
        creator=lambda: postgres.Connection.connect(address, **options),
        poolclass=_Pool,
        **_options(),
    )
    event.listen(made, "checkout", _check)
    return made


def _make_async() -> AsyncEngine:
    address, options = database.address(), postgres.connection_options()
    made = create_async_engine(
        "postgresql+psycopg://",
        async_creator=lambda: postgres.AsyncConnection.connect(address, **options),
        poolclass=_AsyncPool,
        **_options(),
    )
    event.listen(made.sync_engine, "checkout", _check)
    return made


engine = Lazy(_make, close=lambda made: made.dispose())
async_engine = Lazy(_make_async, close=lambda made: made.dispose())


def _check(held: Any, _record: object, _proxy: object) -> None:
    """No connection that died in the pool is given to anyone: the pool makes new ones."""
    if postgres.gone(getattr(held, "driver_connection", held)):
        raise InvalidatePoolError()


@contextmanager
def session() -> Iterator[Session]:
    """A session; what the database raises leaves as Problem 503 or 504."""
    with _answering(), Session(engine.get()) as held:
        try:
            yield held
        except DBAPIError:
            held.invalidate()  # its connection may still be at work on what failed: nobody else shall have it
            raise


@asynccontextmanager
async def async_session() -> AsyncIterator[AsyncSession]:
    """As `session`, awaiting."""
    with _answering():
        async with AsyncSession(async_engine.get()) as held:
            try:
                yield held
            except DBAPIError:
                await held.invalidate()
                raise


def query(held: Session, ms: int) -> dict[str, object]:
    """One round trip that takes `ms`."""
    connection: Any = held.connection().connection.driver_connection
    connection.seconds = database.seconds(ms)
    return database.answer(tuple(held.execute(NAP, {"ms": ms}).one()), ms)


async def async_query(held: AsyncSession, ms: int) -> dict[str, object]:
    """As `query`, awaiting: SQLAlchemy runs it in a greenlet, which gives way to the loop wherever it waits."""
    return await held.run_sync(query, ms)


def user(held: Session) -> str:
    """As whom the connection is made."""
    return str(held.execute(USER).scalar_one())


async def async_user(held: AsyncSession) -> str:
    """As `user`, awaiting."""
    return await held.run_sync(user)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        with postgres.answering():
            yield
    except PoolTimeout as error:
        raise database.no_connection() from error
    except DBAPIError as error:
        with postgres.answering():
            raise error.orig or error from error
