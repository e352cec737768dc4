"""A consumer of the task queue: a process that takes one task after another, and hangs on a pipe to who started it."""

import json
import multiprocessing
import select
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe

import psycopg

from services.workloads import rounds

NEWS = "lab_tasks"  # the channel on which consumers hear that there is a task
_TAKE = """
SELECT id, asker, number, rounds, kind, extract(epoch FROM clock_timestamp() - asked)::float * 1000
FROM lab_tasks WHERE service = %s ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"""
_DONE = "WITH done AS (DELETE FROM lab_tasks WHERE id = %s) SELECT pg_notify(%s, %s)"


def results(backend: int) -> str:
    """The channel on which the worker whose connection has this backend hears of results."""
    return f"lab_results_{backend}"


class Consumer:
    """The process, seen by who started it."""

    def __init__(self, address: str, service: str) -> None:
        # Spawned, not forked: as the processes that burn, in processes.py.
        context = multiprocessing.get_context("spawn")
        self._pipe, its = context.Pipe()
        with its:
            self._process = context.Process(target=_consume, args=(its, address, service), daemon=True)
            self._process.start()

    def is_alive(self) -> bool:
        """False when it was killed, or lost its connection."""
        return self._process.is_alive()

    def leave(self) -> None:
        """Let it go home when it has done its task."""
        self._pipe.close()


def _consume(pipe: Pipe, address: str, service: str) -> None:
    """Take tasks until the other end of the pipe closes, whichever way the worker ends, or PostgreSQL does."""
    with suppress(psycopg.Error), psycopg.connect(address, autocommit=True, application_name=service) as held:
        held.execute(f"LISTEN {NEWS}")
        while True:
            while _take_one(held, service):
                if pipe.poll():
                    return
            if list(held.notifies(timeout=0)):  # it came while this looked, with an answer: no socket tells it again
                continue
            select.select([held.fileno(), pipe.fileno()], [], [])
            if pipe.poll():  # it has closed: nobody sends anything
                return


def _take_one(held: psycopg.Connection, service: str) -> bool:
    """Do the oldest task that nobody is at; False when there is none."""
    with held.transaction():
        task = held.execute(_TAKE, (service,)).fetchone()
        if task is None:
            return False
        row, asker, number, count, kind, queued_ms = task
        result = rounds.burn(count, kind)
        held.execute(_DONE, (row, results(asker), json.dumps([number, result, round(queued_ms, 3)])))
    return True
