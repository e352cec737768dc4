"""The processes that `offload/burn` hands its work to: started at first use, and gone when their worker is gone.

Each hangs on a pipe of its own. A ProcessPoolExecutor has semaphores too, and those have names in /dev/shm: there they
stay for ever when the workers' whole process group is ended, which is how a service ends for certain.
"""

import asyncio
import math
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection

from services.problem import Unavailable
from services.workloads import rounds
from services.workloads.lazy import Lazy
from waitlab.telemetry import cgroup


class _Burners:
    """As many threads as usable CPUs; each starts a process when it first has work, and waits for its results."""

    def __init__(self) -> None:
        self.threads = ThreadPoolExecutor(math.ceil(cgroup.usable_cpus()), thread_name_prefix="burner")
        self._own = threading.local()

    def burn(self, count: int, kind: str) -> int:
        """In one of the threads: `rounds.burn` in that thread's process."""
        if not hasattr(self._own, "pipe"):
            self._own.pipe = _start()
        try:
            self._own.pipe.send((count, kind))
            return int(self._own.pipe.recv())
        except (EOFError, OSError) as error:
            del self._own.pipe
            raise Unavailable("processes", "A process that burns for this worker was killed.") from error


def _start() -> Connection:
    # Spawned, not forked: a worker has threads, whose locks a forked child would inherit locked, and a listening socket
    # and database connections, which it would keep open.
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    with its:
        context.Process(target=_obey, args=(its,), daemon=True).start()
    return ours


def _obey(pipe: Connection) -> None:
    """Burn whatever is asked for, until the other end of the pipe closes, whichever way the worker ends."""
    with suppress(EOFError, OSError):
        while True:
            pipe.send(rounds.burn(*pipe.recv()))


_burners = Lazy(_Burners, close=lambda made: made.threads.shutdown(wait=False, cancel_futures=True))


async def burn(count: int, kind: str) -> int:
    """`rounds.burn` in another process; Problem 503 when that process was killed, and a new one for the next call."""
    burners = _burners.get()
    return await asyncio.get_running_loop().run_in_executor(burners.threads, burners.burn, count, kind)
