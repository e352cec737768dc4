"""How late an event loop runs its timers: the sign of code that blocks it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

INTERVAL_SECONDS = 0.05
_REMEMBERED_SECONDS = 5.0


class LoopLag:
    """Ticks on the loop that runs; any thread may ask for the worst lag of the last seconds, even while it is stuck."""

    def __init__(self, observe: Callable[[float], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._observe = observe
        self._recent: deque[tuple[float, float]] = deque(maxlen=int(_REMEMBERED_SECONDS / INTERVAL_SECONDS) + 1)
        self._due = time.monotonic() + INTERVAL_SECONDS
        self._loop.call_later(INTERVAL_SECONDS, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        lag = max(0.0, now - self._due)
        self._recent.append((now, lag))
        self._observe(lag)
        self._due = now + INTERVAL_SECONDS
        self._loop.call_later(INTERVAL_SECONDS, self._tick)

    def worst_seconds(self) -> float:
        """The worst lag seen in the last seconds, or that of the tick that is overdue now."""
        now = time.monotonic()
        seen = [lag for when, lag in list(self._recent) if when > now - _REMEMBERED_SECONDS]
        return max(0.0, now - self._due, *seen)
