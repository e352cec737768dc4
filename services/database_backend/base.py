"""What Django imports at the first query. Its connections come from Django's own pool, which is psycopg's.

As on the other stacks a connection is looked at before it is used, waits for an answer no longer than it may, and is
counted; address and size of the pool are the service's settings.
"""

import time
from contextvars import ContextVar
from functools import cache
from typing import Any, ClassVar, cast

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.postgresql import base
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool

from services.workloads import database, postgres
from services.workloads.lazy import Lazy
from waitlab import telemetry

# How long an answer may take: set by who asks, read in whichever thread Django asks.
patience: ContextVar[float] = ContextVar("patience", default=database.WAIT_SECONDS)
_parts = cache(conninfo_to_dict)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's connection of one thread."""

    _connection_pools: ClassVar[dict[str, ConnectionPool[Any]]]  # Django's, of its class

    def __init__(self, settings_dict: dict[str, Any], alias: str = DEFAULT_DB_ALIAS) -> None:
        pool = {**postgres.pool_options(), "timeout": database.WAIT_SECONDS, "connection_class": postgres.Connection}
        super().__init__({**settings_dict, "OPTIONS": {"pool": pool}}, alias)

    def get_connection_params(self) -> dict[str, Any]:
        """The keyword arguments of psycopg's `connect`; Problem 503 when there is no database."""
        return {**super().get_connection_params(), **_parts(database.address()), **postgres.connection_options()}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A live connection from the pool."""
        pool, began = _pool.get(), time.perf_counter()
        while postgres.gone(held := super().get_new_connection(conn_params)):
            held.close()
            pool.putconn(held)  # replaced by the pool
        telemetry.pool_waited("django", time.perf_counter() - began)
        held.seconds = patience.get()
        return held


def _show() -> ConnectionPool[Any]:
    made: ConnectionPool[Any] = cast(DatabaseWrapper, connections[DEFAULT_DB_ALIAS]).pool
    telemetry.watch_pool("django", lambda: postgres.state(made.get_stats()))
    return made


def _close(made: ConnectionPool[Any]) -> None:
    made.close(postgres.CLOSE_SECONDS)
    DatabaseWrapper._connection_pools.clear()


_pool = Lazy(_show, close=_close)
