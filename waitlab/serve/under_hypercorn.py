"""Serving under hypercorn, its workers below a supervisor of ours: its own ends with the first of them that dies, and
cannot add one.
"""

import os
import queue
import signal
import subprocess
import sys

from waitlab import process
from waitlab.serve.hypercorn_worker import STARTUP_FAILURE
from waitlab.serve.settings import Settings

_STOP = (signal.SIGTERM, signal.SIGINT)
_MORE: dict[int, int] = {signal.SIGTTIN: 1, signal.SIGTTOU: -1}


class Supervisor:
    """Keeps so many workers, each a new interpreter on the one listening socket; signals ask for more, fewer or none.

    It sleeps until a signal comes: the death of a worker is one.
    """

    def __init__(self, workers: int, descriptor: int) -> None:
        self._wanted = workers
        self._descriptor = descriptor
        self._workers: list[subprocess.Popen[bytes]] = []
        self._leaving: list[subprocess.Popen[bytes]] = []  # told to go, not gone: no successor waits for them
        self._heard: queue.SimpleQueue[int] = queue.SimpleQueue()  # may be filled from within a signal handler
        for number in (*_STOP, *_MORE, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, lambda number, frame: self._heard.put(number))

    def run(self) -> int:
        """Until told to stop, or a worker finds that no worker can start; the exit code."""
        code = 0
        while code == 0:
            self._adjust()
            said = self._heard.get()
            if said in _STOP:
                break
            self._wanted = max(1, self._wanted + _MORE.get(said, 0))
            code = self._reap()
        self._end()
        return code

    def _adjust(self) -> None:
        """As many workers as are wanted: the newest leaves first."""
        while len(self._workers) < self._wanted:
            command = [sys.executable, "-m", "waitlab.serve.hypercorn_worker", str(self._descriptor)]
            self._workers.append(process.start(command, environment=os.environ, log=None, pass_fds=(self._descriptor,)))
        while len(self._workers) > self._wanted:
            self._leaving.append(self._workers.pop())
            self._leaving[-1].terminate()

    def _reap(self) -> int:
        """Forget the dead, and say so where nobody asked them to go; STARTUP_FAILURE when one could not start."""
        dead = [worker for worker in self._workers if worker.poll() is not None]
        for worker in dead:
            print(f"hypercorn: worker {worker.pid} ended with {worker.returncode}", file=sys.stderr)
        self._workers = [worker for worker in self._workers if worker not in dead]
        self._leaving = [worker for worker in self._leaving if worker.poll() is None]
        return STARTUP_FAILURE if any(worker.returncode == STARTUP_FAILURE for worker in dead) else 0

    def _end(self) -> None:
        """Every worker answers what it has; on SIGQUIT they wait for that no longer."""
        self._wanted = 0
        self._adjust()
        while self._leaving:
            if self._heard.get() == signal.SIGQUIT:
                for worker in self._leaving:
                    worker.send_signal(signal.SIGQUIT)
            self._reap()


def run(settings: Settings, descriptor: int) -> None:
    """Be the supervisor until told to stop."""
    sys.exit(Supervisor(settings.workers, descriptor).run())
