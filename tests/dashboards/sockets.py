"""WebSockets of the test's own: each says something again and again, and notes when it hears it back."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from websockets.sync.client import connect

from tests.dashboards.clients import TIMEOUT_SECONDS, Request

REST_SECONDS = 0.1


@dataclass
class Told:
    """What the WebSockets of one `with` noted: the moment of each echo, and each of them as the request that it is."""

    echoes: list[float] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)


@contextmanager
def talking(service: str, port: int, count: int) -> Iterator[Told]:
    """So many WebSockets of a service while the `with` lasts."""
    told, over = Told(), threading.Event()

    def talk() -> None:
        began = time.time()
        with connect(f"ws://127.0.0.1:{port}/ws") as socket:
            while not over.wait(REST_SECONDS):
                socket.send("hello")
                assert socket.recv(TIMEOUT_SECONDS) == "hello"
                told.echoes.append(time.time())
        told.requests.append(Request(service, "/ws", None, began, time.time() - began, 101))

    threads = [threading.Thread(target=talk) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        over.set()
        for thread in threads:
            thread.join()
