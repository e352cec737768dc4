"""Answers that have parts, as a user of Locust takes them: each part is told as it comes, the request at its end.

In Locust's statistics both have the request type of their protocol. In Prometheus a part is no request: it has a
histogram of its own, so that requests are what the services count too.
"""

import json
import time
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

from locustfiles.held import FAULTS, Target
from locustfiles.websocket import WebSocket

SSE, WS = "SSE", "WS"
FIRST_EVENT, GAP, ROUND_TRIP = "first_event", "gap", "round_trip"
MESSAGE = b"hello"


class Told:
    """Tells Locust of one request: `fire` is its event, `late_s` how long after it was due the request left."""

    def __init__(self, fire: Any, kind: str, name: str, late_s: float) -> None:
        self._fire, self._kind, self._name, self._late_s = fire, kind, name, late_s
        self.began = time.perf_counter()
        self.bytes = 0

    def part(self, part: str, since: float) -> float:
        """A part that began at `since` is there; when that was."""
        now = time.perf_counter()
        self._tell(f"{self._name} {part.replace('_', ' ')}", since, 0, None, {"part": part})
        return now

    def end(self, fault: Exception | None) -> None:
        """The request is over."""
        self._tell(self._name, self.began, self.bytes, fault, {"late_seconds": self._late_s})

    def _tell(self, name: str, since: float, length: int, fault: Exception | None, context: dict[str, Any]) -> None:
        told = {"request_type": self._kind, "name": name, "response_length": length, "exception": fault}
        self._fire(response_time=(time.perf_counter() - since) * 1000, context=context, response=None, **told)


def target(address: str, path: str, headers: Mapping[str, str], patience_s: float) -> Target:
    """What is asked of a service at `address`, its base URL."""
    parts = urlsplit(address)
    return Target(parts.hostname or "", parts.port or 80, path, lambda: headers, patience_s)


def read_events(asked: Target, told: Told) -> None:
    """One stream of events, on a connection of its own, to its last event."""
    fault: Exception | None = None
    try:
        with closing(asked.connect(0)) as sock:
            sock.sendall(asked.head())
            answer = HTTPResponse(sock)
            answer.begin()
            _read(answer, told)
    except (*FAULTS, ValueError) as error:
        fault = error
    told.end(fault)


def _read(answer: HTTPResponse, told: Told) -> None:
    if answer.status != 200:
        raise HTTPException(f"answered {answer.status}")
    part, since, event = FIRST_EVENT, told.began, {}
    for line in answer:
        told.bytes += len(line)
        if line.startswith(b"data:"):
            part, since = GAP, told.part(part, since)
            event = json.loads(line[5:])
    if not event or event["item"] != event["of"]:  # without a length, the end of a broken connection is an end
        raise ConnectionError(f"cut short after item {event.get('item', 0)} of {event.get('of', '?')}")


class Conversation:
    """One WebSocket of one user, one request from its handshake to its close. OSError where it breaks or is refused."""

    def __init__(self, asked: Target, told: Told) -> None:
        self._told = told
        try:
            self._sock = asked.connect(0)
            self._socket = WebSocket(self._sock, asked.host, asked.port, asked.path, asked.fields())
        except OSError as error:
            told.end(error)
            raise

    def exchange(self) -> None:
        """A message, and its echo."""
        sent = time.perf_counter()
        try:
            self._socket.send(MESSAGE)
            if (echo := self._socket.receive()) != MESSAGE:
                raise ConnectionError("closed by the service" if echo is None else "another message than the one sent")
        except OSError as error:
            self.end(error)
            raise
        self._told.bytes += len(MESSAGE)
        self._told.part(ROUND_TRIP, sent)

    def end(self, fault: Exception | None = None) -> None:
        """Say goodbye; or only hang up, where there is a fault."""
        if fault is None:
            self._socket.close()
        self._sock.close()
        self._told.end(fault)
