"""Waiting for a moment to 0.1 ms. The event loop's own timers may be a millisecond late: epoll counts in those."""

import ctypes
import os

from gevent import get_hub

_CLOCK_MONOTONIC, _ABSOLUTE = 1, 1
_NONBLOCKING = os.O_NONBLOCK | os.O_CLOEXEC
_libc = ctypes.CDLL(None, use_errno=True)


class _Timer(ctypes.Structure):
    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


class Alarm:
    """One kernel timer, for one greenlet at a time, to the end of the process."""

    def __init__(self) -> None:
        self._file = _libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCKING)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._watcher = get_hub().loop.io(self._file, 1)

    def wait_until(self, moment: float) -> None:
        """Let others run until `moment`, in CLOCK_MONOTONIC seconds; at once if it has passed; or until it is rung."""
        self._set(moment)
        get_hub().wait(self._watcher)
        os.read(self._file, 8)

    def ring(self) -> None:
        """End the wait now."""
        self._set(0.0)

    def _set(self, moment: float) -> None:
        ns = max(1, round(moment * 1e9))  # 0 would disarm it
        timer = _Timer(0, 0, ns // 1_000_000_000, ns % 1_000_000_000)
        if _libc.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(timer), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
