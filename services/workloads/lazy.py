"""A thing made at first use, once a process: what an idle worker does not need costs it no memory."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lazy(Generic[T]):
    """Calls `make` at the first `get`, whichever thread comes first, and keeps the result until it is taken."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: T | None = None

    def get(self) -> T:
        """The thing, made now if it was not yet."""
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made

    def take(self) -> T | None:
        """The thing, forgotten here, so that whoever takes it can close it; None when it was never made."""
        with self._lock:
            made, self._made = self._made, None
        return made
