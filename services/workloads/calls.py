"""Calls to the upstream in flight: counted, so that a client's bound can be seen when it is what callers wait for."""

import threading

from waitlab import telemetry


class Calls:
    """Counts the callers of one client: up to `size` hold a connection, the rest wait for one."""

    def __init__(self, client: str, size: int) -> None:
        self._size = size
        self._asking = 0
        self._counting = threading.Lock()
        telemetry.watch_pool(client, self._state)

    def __enter__(self) -> None:
        with self._counting:
            self._asking += 1

    def __exit__(self, *_: object) -> None:
        with self._counting:
            self._asking -= 1

    def _state(self) -> telemetry.PoolState:
        used = min(self._asking, self._size)
        return telemetry.PoolState(size=self._size, used=used, waiting=self._asking - used)
