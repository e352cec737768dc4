"""A small closed loop of users, in threads of the test itself, and what is seen of the service meanwhile."""

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

from waitlab.diagnose import sources, watch
from waitlab.diagnose.figures import Figures

SETTLE_SECONDS = 0.6
WATCH_SECONDS = 3.0


def watched(source: sources.Source) -> Figures:
    """What is seen of it, on a host that takes nothing: a verdict that names steal as its doubt is right, too."""
    return replace(watch.watch(source, WATCH_SECONDS), steal_ratio=0.0)


@contextmanager
def asked(url: str, path: str, users: int) -> Iterator[None]:
    """So many users, each of whom asks again when it is answered."""
    where, over = urlsplit(url), threading.Event()

    def ask() -> None:
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=2)
        while not over.is_set():
            try:
                connection.request("GET", path)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()  # the next request opens another one
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(users)]
    for thread in threads:
        thread.start()
    time.sleep(SETTLE_SECONDS)
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
