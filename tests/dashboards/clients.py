"""Clients of the test's own: each holds one connection to a worker of the test's choice and notes all it is answered.

A connection that is kept alive stays with the worker that accepted it. So a share, a queue or an exhausted pool is made
here by saying how many users each worker has, and the truth about it is counted here.
"""

import http.client
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

TIMEOUT_SECONDS = 30.0
TRACED_ONE_IN = 5
_MOST_TRIES = 400


@dataclass(frozen=True)
class Request:
    """One request as a client saw it; `status` 0 is no answer at all, `worker` is None where the client cannot know."""

    service: str
    path: str  # without parameters: /sync/sleep
    worker: str | None
    began: float
    seconds: float
    status: int
    trace_id: str | None = None
    queued_seconds: float | None = None  # in the task queue, as the answer says

    @property
    def ended(self) -> float:
        return self.began + self.seconds

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


@dataclass(frozen=True)
class Place:
    """One kept connection and the worker it leads to."""

    worker: str
    connection: http.client.HTTPConnection


def connect(port: int, wanted: Mapping[str, int]) -> list[Place]:
    """As many connections to each worker as `wanted` says, by trying: which worker accepts is the kernel's choice."""
    left, kept, others = dict(wanted), [], []
    for _ in range(_MOST_TRIES):
        place = _connect(port)
        if left.get(place.worker, 0) > 0:
            left[place.worker] -= 1
            kept.append(place)
        else:
            others.append(place)  # kept open until the end: its worker is the busier for it
        if not any(left.values()):
            break
    for place in others:
        place.connection.close()
    assert not any(left.values()), f"{_MOST_TRIES} connections, and still missing: {left}"
    return kept


def _connect(port: int) -> Place:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", "/about")  # answered by every worker and counted by none
    return Place(str(json.load(connection.getresponse())["worker"]), connection)


@contextmanager
def users(
    service: str, port: int, target: str, per_worker: Mapping[str, int], rest_seconds: float = 0.0
) -> Iterator[list[Request]]:
    """Users who ask for `target` again and again while the `with` lasts; at its end each waits for its last answer.

    They begin evenly over a second, so that a rate is one, and not a row of bursts.
    """
    places = connect(port, per_worker)
    asking = _Asking(service, target, rest_seconds)
    threads = [
        threading.Thread(target=asking.again_and_again, args=(place, number / len(places)))
        for number, place in enumerate(places)
    ]
    for thread in threads:
        thread.start()
    try:
        yield asking.noted
    finally:
        asking.over.set()
        for thread in threads:
            thread.join()


class _Asking:
    """What the users of one `with` have in common."""

    def __init__(self, service: str, target: str, rest_seconds: float) -> None:
        self.noted: list[Request] = []
        self.over = threading.Event()
        self._service = service
        self._target = target
        self._rest_seconds = rest_seconds

    def again_and_again(self, place: Place, rest: float) -> None:
        """One user: rest, ask, note the answer; the last one too that was asked for before it was over."""
        asked = 0
        while not self.over.wait(rest):
            trace_id = secrets.token_hex(16) if asked % TRACED_ONE_IN == 0 else None
            asked, rest = asked + 1, self._rest_seconds
            began, clock = time.time(), time.perf_counter()
            status, body = _answer(place.connection, self._target, began, trace_id)
            seconds, path = time.perf_counter() - clock, self._target.partition("?")[0]
            queued = json.loads(body)["queued_ms"] / 1000 if b'"queued_ms"' in body else None
            self.noted.append(Request(self._service, path, place.worker, began, seconds, status, trace_id, queued))
        place.connection.close()


def _answer(
    connection: http.client.HTTPConnection, target: str, began: float, trace_id: str | None
) -> tuple[int, bytes]:
    headers = {"X-Request-Start": f"t={began:.6f}"}
    if trace_id:
        headers["traceparent"] = f"00-{trace_id}-{secrets.token_hex(8)}-01"
    try:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
