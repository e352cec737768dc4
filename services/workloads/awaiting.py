"""The verbs, awaiting: each gives its thread back to the event loop while it waits.

What cannot await is handed away: file reads to the loop's executor, since asyncio has no file I/O.
Clients and drivers are imported where they are first used, as in blocking.py.
"""
# ruff: noqa: PLC0415 - imports at first use are the point

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from services.workloads import blocking, processes, rounds
from services.workloads.blocking import GET, POSTGRESQL, Answer
from waitlab import telemetry

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from services.workloads.postgres import AsyncConnection

T = TypeVar("T")


async def ping() -> Answer:
    """Nothing: the light victim beside a load."""
    return {"pong": True}


async def sleep(ms: int) -> Answer:
    """Wait `ms` milliseconds."""
    with telemetry.span("sleep"):
        await asyncio.sleep(ms / 1000)
    return {"ms": ms}


async def query(ms: int, driver: str = "psycopg") -> Answer:
    """One round trip to PostgreSQL that takes `ms`, on a connection from the pool."""
    if driver == "asyncpg":
        from services.workloads import asyncpg_client

        with telemetry.span("query", **POSTGRESQL):
            return await asyncpg_client.query(ms)
    async with session() as held:
        return await query_on(held, ms)


@asynccontextmanager
async def session() -> "AsyncIterator[AsyncConnection]":
    """A pooled connection, held as long as the caller likes."""
    from services.workloads import postgres

    async with postgres.async_connection() as held:
        yield held


async def query_on(held: "AsyncConnection", ms: int) -> Answer:
    """One round trip that takes `ms`, on a connection already held."""
    from services.workloads import postgres

    with telemetry.span("query", **POSTGRESQL):
        return await postgres.async_query(held, ms)


@asynccontextmanager
async def orm_session() -> "AsyncIterator[AsyncSession]":
    """A session of SQLAlchemy: it takes a pooled connection at its first statement and gives it back at its end."""
    from services.workloads import sqlalchemy_client

    async with sqlalchemy_client.async_session() as held:
        yield held


async def query_by(held: "AsyncSession", ms: int) -> Answer:
    """One round trip that takes `ms`, on a session."""
    from services.workloads import sqlalchemy_client

    with telemetry.span("query", **POSTGRESQL):
        return await sqlalchemy_client.async_query(held, ms)


async def user_of(held: "AsyncSession") -> str:
    """Who asks the database: a round trip that takes no time, but a connection."""
    from services.workloads import sqlalchemy_client

    with telemetry.span("user", **POSTGRESQL):
        return await sqlalchemy_client.async_user(held)


async def fetch(ms: int, client: str = "aiohttp", tls: bool = False) -> Answer:
    """One HTTP call to the upstream that takes `ms`."""
    if client == "httpx":
        from services.workloads.httpx_client import call_async as call
    else:
        from services.workloads.aiohttp_client import call
    with telemetry.span("fetch", **GET):
        return {"ms": await call(ms, tls), "client": client, "tls": tls}


async def read(kb: int, cold: bool, ms: int = 0) -> Answer:
    """Read `kb` KiB of a file, in a thread: asyncio has no files, and a read on the loop would stop it."""
    return await offload(blocking.read, kb, cold, ms)


async def burn(count: int, kind: str = "loop") -> Answer:
    """`count` rounds of CPU work, letting others run after each, about every millisecond."""
    value = 1
    with telemetry.span("burn"):
        for value in rounds.steps(count, kind):  # noqa: B007
            await asyncio.sleep(0)
    return {"rounds": count, "kind": kind, "result": value}


async def mixed(ms: int, count: int) -> Answer:
    """Wait `ms`, then burn."""
    return await sleep(ms) | await burn(count)


async def profile(ms: int, ask: Callable[[int], Awaitable[Answer]] = query) -> Answer:
    """The essays' opening: two queries, one file read, one call elsewhere, one after the other."""
    return {
        "user": await ask(ms),
        "friends": await ask(ms),
        "picture": await read(64, cold=False),
        "external": await fetch(ms),
    }


async def offload(work: Callable[..., T], *arguments: object) -> T:
    """`work` in the loop's own executor, not in FastAPI's thread pool; what it waits for joins this request's trace."""
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(None, context.run, work, *arguments)


async def offload_burn(count: int, kind: str = "loop", to: str = "processes") -> Answer:
    """`count` rounds of CPU work in another process, handed over a pipe or by way of a queue in PostgreSQL."""
    if to == "queue":
        from services.workloads import task_queue

        with telemetry.span("queue", **POSTGRESQL):
            return {"rounds": count, "kind": kind, **await task_queue.burn(count, kind)}
    with telemetry.span("burn"):
        return {"rounds": count, "kind": kind, "result": await processes.burn(count, kind)}


async def offload_mixed(ms: int, count: int) -> Answer:
    """Wait `ms` in a thread, then burn in another process."""
    return await offload(blocking.sleep, ms) | await offload_burn(count)


async def gather(of: str, ms: int, count: int) -> Answer:
    """Two sleeps or two burns, begun together on one loop: sleeps overlap, burns take turns."""
    return {"both": await asyncio.gather(*(sleep(ms) if of == "sleep" else burn(count) for _ in range(2)))}


async def gather_blocked(of: str, ms: int, count: int) -> Answer:
    """The same with blocking calls inside coroutines: the second begins when the first has ended, whatever they do."""

    async def one() -> Answer:
        return blocking.sleep(ms) if of == "sleep" else blocking.burn(count)

    return {"both": await asyncio.gather(one(), one())}


async def gather_handed(hand: Callable[..., Awaitable[Answer]], of: str, ms: int, count: int) -> Answer:
    """Two sleeps or two burns, each handed away by `hand`: where they go decides whether they overlap."""
    work = (blocking.sleep, ms) if of == "sleep" else (blocking.burn, count)
    return {"both": await asyncio.gather(hand(*work), hand(*work))}


async def gather_offloaded(of: str, ms: int, count: int) -> Answer:
    """Two sleeps in threads, or two burns in processes: both overlap, as far as there are cores."""

    def one() -> Awaitable[Answer]:
        return offload(blocking.sleep, ms) if of == "sleep" else offload_burn(count)

    return {"both": await asyncio.gather(one(), one())}
