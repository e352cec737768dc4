"""How late an event loop runs its timers: the sign of code that blocks it."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

# A block sets the ticks anew, so ticks as regular as the blocks would meet all of them at the same distance from their
# beginning (measured: every 200 ms block seen as 176). Hence each interval is another one.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.025, 0.075
_REMEMBERED_SECONDS = 5.0


class LoopLag:
    """Ticks on the loop that runs; any thread may ask for the worst lag of the last seconds, even while it is stuck."""

    def __init__(self, observe: Callable[[float], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._observe = observe
        self._recent: deque[tuple[float, float]] = deque(maxlen=int(_REMEMBERED_SECONDS / SHORTEST_SECONDS) + 1)
        self._tick_later(time.monotonic())

    def _tick_later(self, now: float) -> None:
        wait = random.uniform(SHORTEST_SECONDS, LONGEST_SECONDS)
        self._due = now + wait
        self._loop.call_later(wait, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        lag = max(0.0, now - self._due)
        self._recent.append((now, lag))
        self._observe(lag)
        self._tick_later(now)

    def worst_seconds(self) -> float:
        """The worst lag seen in the last seconds, or that of the tick that is overdue now."""
        now = time.monotonic()
        seen = [lag for when, lag in list(self._recent) if when > now - _REMEMBERED_SECONDS]
        return max(0.0, now - self._due, *seen)
