"""The processes that `offload/burn` hands its work to: started at first use, and gone when their worker is gone."""

import asyncio
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from services.problem import Unavailable
from services.workloads import rounds
from services.workloads.lazy import Lazy


def _make() -> ProcessPoolExecutor:
    # Spawned, not forked: a worker has threads, whose locks a forked child would inherit locked, and a listening socket
    # and database connections, which it would keep open.
    return ProcessPoolExecutor(
        max_workers=len(os.sched_getaffinity(0)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_die_with_parent,
    )


_executor = Lazy(_make, close=lambda made: made.shutdown(wait=False, cancel_futures=True))


def _die_with_parent() -> None:
    """Also when the parent is killed: its end of a pipe closes whichever way it dies, and this thread sees that."""
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


async def burn(count: int, kind: str) -> int:
    """`rounds.burn` in another process; Problem 503 when that process was killed, and new ones for the next call."""
    executor = _executor.get()
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, rounds.burn, count, kind)
    except BrokenProcessPool as error:
        _executor.close(executor)
        raise Unavailable("processes", "A process that burns for this worker was killed.") from error
