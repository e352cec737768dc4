"""The task queue of `offload/burn?to=queue`: a table in PostgreSQL, and processes that take from it.

A task is a row. Who takes one locks it, works, deletes it and tells the worker that asked, in one transaction: if that
process dies on the way, the row is free again and another takes it. Imported at first use.
"""

import asyncio
import itertools
import json
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg

from services import settings
from services.problem import Problem, TimedOut, Unavailable
from services.workloads import database, postgres, task_consumer
from services.workloads.lazy import Lazy
from services.workloads.task_consumer import Consumer
from waitlab import telemetry
from waitlab.telemetry import cgroup

logger = logging.getLogger(__name__)

DEPENDENCY = "queue"
WAIT_SECONDS = 8.0  # for a result, the wait for a free consumer included
_SERVICES_TURN = 7_311_001  # of PostgreSQL's advisory locks the one under which the table is made

_TABLE = """
CREATE UNLOGGED TABLE IF NOT EXISTS lab_tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service text NOT NULL,
    asker int NOT NULL,    -- the backend of the connection on which the worker that asked listens
    number int NOT NULL,   -- that worker's own name for the task
    rounds int NOT NULL,
    kind text NOT NULL,
    asked timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
_GIVES = """
SELECT sum(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)::int FROM pg_settings
WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')"""
_OF_THE_DEAD = "DELETE FROM lab_tasks WHERE asker NOT IN (SELECT pid FROM pg_stat_activity)"
_ASK = f"""
WITH task AS (
    INSERT INTO lab_tasks (service, asker, number, rounds, kind) VALUES (%s, %s, %s, %s, %s) RETURNING id
) SELECT pg_notify('{task_consumer.NEWS}', '') FROM task"""
_GIVE_UP = """
DELETE FROM lab_tasks WHERE id IN (
    SELECT id FROM lab_tasks WHERE asker = %s AND number = %s FOR UPDATE SKIP LOCKED
)"""

Done = tuple[int, float]  # the result, and the milliseconds until somebody took the task


def most_consumers(gives: int, workers: int, pool_size: int, cpus: float) -> int:
    """As many as usable CPUs, where PostgreSQL has connections for them beside the pools of so many workers.

    Problem 503 where it has not even one for each worker: the pools would lack it when they are full.
    """
    left = gives // workers - pool_size - 1
    if left < 1:
        needed = workers * (pool_size + 2)
        words = f"{workers} workers x ({pool_size} pooled connections, one for results, a consumer's) = {needed}"
        raise Unavailable(DEPENDENCY, f"{words}, but PostgreSQL gives {gives}: start with fewer, or smaller pools.")
    return min(left, math.ceil(cpus))


class _Asker:
    """One worker's side of the queue: a connection that hears of results, and consumers of its own."""

    def __init__(self) -> None:
        self._address = database.address()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Done]] = {}
        self._consumers: list[Consumer] = []
        self._most = 0
        self._staffing = asyncio.Lock()
        self._backend: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._listening = asyncio.create_task(self._listen())
        self._listening.add_done_callback(self._ended)

    async def ask(self, count: int, kind: str) -> Done:
        """A new task's result, once it is there."""
        number = next(self._numbers)
        result: asyncio.Future[Done]
        result = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                backend = await asyncio.shield(self._backend)
                await self._staff()
                async with _connection() as held:
                    await held.execute(_ASK, (settings.current.service, backend, number, count, kind))
                return await result
        except TimeoutError as error:
            await self._give_up(number)
            raise TimedOut(DEPENDENCY, f"No consumer had done the task in {WAIT_SECONDS} s.") from error
        finally:
            del self._waiting[number]

    async def _give_up(self, number: int) -> None:
        """Take the task back, where nobody is at it."""
        if self._backend.done():
            with suppress(Problem):  # then it stays, for whoever looks for tasks of the dead
                async with _connection() as held:
                    await held.execute(_GIVE_UP, (self._backend.result(), number))

    async def _staff(self) -> None:
        """As many consumers as there may be: the first time, and again where some were killed."""
        async with self._staffing:
            living = [consumer for consumer in self._consumers if consumer.is_alive()]
            for _ in range(self._most - len(living)):
                living.append(await asyncio.to_thread(Consumer, self._address, settings.current.service))
            self._consumers = living

    async def _listen(self) -> None:
        """Make the queue ready, then give every result to the request that waits for it."""
        connection = await psycopg.AsyncConnection.connect(self._address, **postgres.connection_options())
        async with connection as held:
            async with held.transaction():
                await held.execute("SELECT pg_advisory_xact_lock(%s)", (_SERVICES_TURN,))
                await held.execute(_TABLE)
            (gives,) = await (await held.execute(_GIVES)).fetchone() or (0,)
            told = settings.current
            workers = int(str(told.about.get("workers", 1)))
            self._most = most_consumers(gives, workers, told.pool_size, cgroup.usable_cpus())
            backend = held.info.backend_pid
            await held.execute(f"LISTEN {task_consumer.results(backend)}")
            await held.execute(_OF_THE_DEAD)
            self._backend.set_result(backend)
            async for note in held.notifies():
                number, result, queued_ms = json.loads(note.payload)
                if (waiting := self._waiting.get(number)) and not waiting.done():
                    waiting.set_result((result, queued_ms))

    def _ended(self, listening: asyncio.Task[None]) -> None:
        """Nobody shall wait for what nobody hears any more; the next request begins anew."""
        if listening.cancelled():
            return
        error = listening.exception()
        logger.warning("the task queue's connection ended", exc_info=error)
        _asker.close(self)
        futures: list[asyncio.Future[Any]] = [self._backend, *self._waiting.values()]
        for waiting in futures:
            if not waiting.done():
                waiting.set_exception(error if isinstance(error, Problem) else database.failed())
                waiting.exception()  # it may be that nobody awaits it

    def close(self) -> None:
        """Hear no more, and send the consumers home."""
        self._listening.cancel()
        for consumer in self._consumers:
            consumer.leave()


_asker = Lazy(_Asker, close=_Asker.close)


@asynccontextmanager
async def _connection() -> AsyncIterator[postgres.AsyncConnection]:
    async with postgres.async_connection() as held:
        held.seconds = database.WAIT_SECONDS
        yield held


async def burn(count: int, kind: str) -> dict[str, object]:
    """`rounds.burn` by a consumer, and how long the task waited for one; Problem 503 or 504 when none did it."""
    result, queued_ms = await _asker.get().ask(count, kind)
    telemetry.task_queued(queued_ms / 1000)
    return {"result": result, "queued_ms": queued_ms}
