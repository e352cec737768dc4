"""A disk that takes its time: a FIFO for each read, to which a writer delivers when the time has come.

Who reads it sleeps in the kernel, as who reads a real disk does, whatever event loop it is on; a cold page cache would
be as slow as the machine's own disk, and no two are alike. One writer a process serves every read: a real thread, also
under gevent, which does not patch `os.read` either: there a read stops every greenlet of its worker.
"""

import _thread
import heapq
import os
import select
import struct
import sys
import time
from contextlib import suppress
from types import ModuleType
from typing import Any

from services.workloads.lazy import Lazy

DUE = struct.Struct("dq")  # when to deliver (CLOCK_MONOTONIC seconds), and to which end of which FIFO


class _Writer:
    """Told of reads through a FIFO of its own: writes that are this short never mix."""

    def __init__(self) -> None:
        asked, self._ask = os.pipe()
        _unpatched(_thread, "start_new_thread")(_deliver, (asked,))

    def after(self, seconds: float) -> int:
        """What to read from: there is something in it after so long."""
        taken, given = os.pipe()
        os.write(self._ask, DUE.pack(time.monotonic() + seconds, given))
        return taken

    def close(self) -> None:
        os.close(self._ask)


_writer = Lazy(_Writer, close=_Writer.close)


def seek(ms: int) -> None:
    """Read a FIFO, to which the writer delivers after `ms` milliseconds."""
    fifo = _writer.get().after(ms / 1000)
    try:
        os.read(fifo, 1)
    finally:
        os.close(fifo)


def _deliver(asked: int) -> None:
    """Write to each FIFO when it is due, until nobody can ask any more."""
    due: list[tuple[float, int]] = []
    poll = _unpatched(select, "poll")()
    poll.register(asked, select.POLLIN)
    while True:
        if poll.poll(max(0.0, due[0][0] - time.monotonic()) * 1000 if due else None):
            if not (told := os.read(asked, DUE.size)):
                break
            heapq.heappush(due, DUE.unpack(told))
        while due and due[0][0] <= time.monotonic():
            _write(heapq.heappop(due)[1])
    for _, fifo in due:
        _write(fifo)
    os.close(asked)


def _write(fifo: int) -> None:
    with suppress(OSError):  # its reader has gone
        os.write(fifo, b".")
    os.close(fifo)


def _unpatched(module: ModuleType, name: str) -> Any:
    """What a module of the library has, as it is without gevent."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original(module.__name__, name) if monkey else getattr(module, name)
