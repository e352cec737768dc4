"""Things made at first use, once a process, and closed together: what a worker does not use costs it no memory."""

import inspect
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_made: "list[Lazy[Any]]" = []


class Lazy(Generic[T]):
    """Calls `make` at the first `get`, whichever thread comes first; `close` may be a coroutine function."""

    def __init__(self, make: Callable[[], T], close: Callable[[T], object]) -> None:
        self._make, self._close = make, close
        self._lock = threading.Lock()
        self._thing: T | None = None

    def get(self) -> T:
        """The thing, made now if it was not yet."""
        if self._thing is None:
            with self._lock:
                if self._thing is None:
                    self._thing = self._make()
                    _made.append(self)
        return self._thing

    def close(self, thing: T | None = None) -> object:
        """Close it, if it was made and, when `thing` is given, still is that one; the next `get` makes another."""
        with self._lock:
            held = self._thing
            if held is None or (thing is not None and thing is not held):
                return None
            self._thing = None
            _made.remove(self)
        return self._close(held)


async def close_all() -> None:
    """Close everything that was made, newest first."""
    for one in reversed(list(_made)):
        closing = one.close()
        if inspect.isawaitable(closing):
            await closing
