"""The verbs, blocking: each holds its thread until it is done.

Clients and drivers are imported where they are first used: an idle worker is a few megabytes smaller for it.
"""
# ruff: noqa: PLC0415 - imports at first use are the point

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from services.workloads import disk, rounds
from waitlab import telemetry

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from services.workloads.postgres import Connection

Answer = dict[str, object]
POSTGRESQL = {"db.system.name": "postgresql"}
GET = {"http.request.method": "GET"}


def ping() -> Answer:
    """Nothing: the light victim beside a load."""
    return {"pong": True}


def sleep(ms: int) -> Answer:
    """Wait `ms` milliseconds."""
    with telemetry.span("sleep"):
        time.sleep(ms / 1000)
    return {"ms": ms}


def query(ms: int, driver: str = "psycopg") -> Answer:
    """One round trip to PostgreSQL that takes `ms`, on a connection from the pool."""
    with session() as held:
        return query_on(held, ms)


@contextmanager
def session() -> "Iterator[Connection]":
    """A pooled connection, held as long as the caller likes."""
    from services.workloads import postgres

    with postgres.connection() as held:
        yield held


def query_on(held: "Connection", ms: int) -> Answer:
    """One round trip that takes `ms`, on a connection already held."""
    from services.workloads import postgres

    with telemetry.span("query", **POSTGRESQL):
        return postgres.query(held, ms)


@contextmanager
def orm_session() -> "Iterator[Session]":
    """A session of SQLAlchemy: it takes a pooled connection at its first statement and gives it back at its end."""
    from services.workloads import sqlalchemy_client

    with sqlalchemy_client.session() as held:
        yield held


def query_by(held: "Session", ms: int) -> Answer:
    """One round trip that takes `ms`, on a session."""
    from services.workloads import sqlalchemy_client

    with telemetry.span("query", **POSTGRESQL):
        return sqlalchemy_client.query(held, ms)


def user_of(held: "Session") -> str:
    """Who asks the database: a round trip that takes no time, but a connection."""
    from services.workloads import sqlalchemy_client

    with telemetry.span("user", **POSTGRESQL):
        return sqlalchemy_client.user(held)


def fetch(ms: int, client: str = "requests", tls: bool = False) -> Answer:
    """One HTTP call to the upstream that takes `ms`."""
    if client == "httpx":
        from services.workloads.httpx_client import call
    else:
        from services.workloads.requests_client import call
    with telemetry.span("fetch", **GET):
        return {"ms": call(ms, tls), "client": client, "tls": tls}


def read(kb: int, cold: bool, ms: int = 0) -> Answer:
    """Read `kb` KiB of a file, from the disk itself when `cold`, and after `ms` of a slow disk."""
    with telemetry.span("read"):
        return dict(disk.read(kb, cold, ms))


def burn(count: int, kind: str = "loop") -> Answer:
    """`count` rounds of CPU work."""
    with telemetry.span("burn"):
        return {"rounds": count, "kind": kind, "result": rounds.burn(count, kind)}


def mixed(ms: int, count: int) -> Answer:
    """Wait `ms`, then burn."""
    return sleep(ms) | burn(count)


def profile(ms: int, ask: Callable[[int], Answer] = query) -> Answer:
    """The essays' opening: two queries, one file read, one call elsewhere, one after the other."""
    return {"user": ask(ms), "friends": ask(ms), "picture": read(64, cold=False), "external": fetch(ms)}
