"""Clients that hold a connection, on raw sockets: a slow upload, a slow reader, an idle one, a reader of events, a
WebSocket.

Each is a generator: up to its `yield` it opens its connection, after it holds it, until the load ends or the service
hangs up. Whoever runs it says through `Told` what becomes of what it sees.
"""

import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Protocol

import gevent.socket
from gevent.event import Event
from gevent.lock import Semaphore

from locustfiles.websocket import WebSocket
from waitlab.drive.record import Kind, Outcome

WINDOW_BYTES = 4096  # what a slow reader lets the service send before it has read any of it
SIP_BYTES, SIP_SECONDS = 1024, 0.1  # how it reads
DRIP_SECONDS = 1.0  # between two bytes of a slow upload
RETRY_SECONDS = 1.0  # a connection that was lost is opened again after so long
OPENED_AT_ONCE = 64
FAULTS = (OSError, HTTPException, ValueError)  # ValueError: half an event
MESSAGE = b"hello"


class Told(Protocol):
    """Who hears what a client sees; seconds are those between two of its own moments."""

    def asked(self) -> None:
        """A whole request has left."""

    def answered(self, asked: float, status: int, outcome: Outcome, kind: str, body: bytes) -> None:
        """It is over, answered or not; `asked` is when it left, in CLOCK_MONOTONIC seconds."""

    def held(self, change: int) -> None:
        """One connection more (+1) or less (-1) is held."""

    def event(self, kind: Kind, seconds: float) -> None:
        """An event has come, or an echo."""


class Over:
    """The end of a load, for those who hold connections: they leave at once, whatever they wait for."""

    def __init__(self) -> None:
        self._event = Event()
        self._held: set[gevent.socket.socket] = set()

    @property
    def begun(self) -> bool:
        return bool(self._event.is_set())

    def begin(self) -> None:
        """Hang up every connection, and those that are opened from now on."""
        self._event.set()
        for sock in list(self._held):
            hang_up(sock)

    def rest(self, seconds: float) -> bool:
        """Wait; whether the load has ended meanwhile."""
        return bool(self._event.wait(seconds))

    def keep(self, sock: gevent.socket.socket) -> None:
        """Hang this one up at the end, too."""
        self._held.add(sock)
        if self.begun:
            hang_up(sock)

    def drop(self, sock: gevent.socket.socket) -> None:
        """It is over before the load is."""
        self._held.discard(sock)
        sock.close()


def hang_up(sock: gevent.socket.socket) -> None:
    """End what is read from it, wherever it is read."""
    try:
        sock.shutdown(gevent.socket.SHUT_RDWR)
    except OSError:  # the service was faster
        return


@dataclass(frozen=True)
class Target:
    """What is asked of whom. `head` makes a whole GET request, up to its blank line; WebSockets take the `fields`."""

    host: str
    port: int
    path: str
    fields: Callable[[], Mapping[str, str]]
    patience_s: float = 120.0
    rest_s: float = 0.0  # between two messages, or two streams

    def head(self) -> bytes:
        lines = [f"GET {self.path} HTTP/1.1", f"Host: {self.host}:{self.port}"]
        lines += [f"{name}: {value}" for name, value in self.fields().items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def connect(self, window_bytes: int) -> gevent.socket.socket:
        """A connection; with a receive window of so many bytes, where it is not 0."""
        family, kind, protocol, _, address = gevent.socket.getaddrinfo(self.host, self.port, 0, 1)[0]
        sock = gevent.socket.socket(family, kind, protocol)
        try:
            if window_bytes:  # before it connects: the window is told to the other side then
                sock.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_RCVBUF, window_bytes)
            sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
            sock.settimeout(self.patience_s)
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return sock


class Line:
    """One connection of one client, and the request on it."""

    def __init__(self, sock: gevent.socket.socket, target: Target, over: Over, told: Told) -> None:
        self.sock, self.target, self.over, self.told = sock, target, over, told
        self.asked_at = 0.0
        self._is_under_way = False

    def begin(self) -> None:
        """From now on a request is under way."""
        self.asked_at = time.monotonic()
        self._is_under_way = True
        self.told.asked()

    def ask(self) -> None:
        """Send the whole request."""
        self.begin()
        self.sock.sendall(self.target.head())

    def response(self) -> HTTPResponse:
        """The answer, as soon as its headers are there."""
        answer = HTTPResponse(self.sock)
        answer.begin()
        return answer

    def answered(self, status: int, kind: str = "", body: bytes = b"") -> None:
        """The request is over, and was answered."""
        self._end(status, Outcome.GOOD if 200 <= status < 300 or status == 101 else Outcome.BAD_STATUS, kind, body)

    def end(self) -> None:
        """The connection is over: with the load, or because it was lost."""
        self._end(0, Outcome.HUNG_UP if self.over.begun else Outcome.RESET, "", b"")

    def _end(self, status: int, outcome: Outcome, kind: str, body: bytes) -> None:
        if self._is_under_way:
            self._is_under_way = False
            self.told.answered(self.asked_at, status, outcome, kind, body)


Steps = Generator[None, None, None]


def upload(line: Line) -> Steps:
    """Send a request's headers, the last one a byte a second, and never their end: no application ever sees it."""
    line.sock.sendall(line.target.head()[:-2] + b"X-Slow: ")
    yield
    while not line.over.rest(DRIP_SECONDS):
        line.sock.sendall(b"a")


def reader(line: Line) -> Steps:
    """Ask, and take the answer in sips."""
    line.ask()
    yield
    while line.sock.recv(SIP_BYTES) and not line.over.rest(SIP_SECONDS):
        pass


def idle(line: Line) -> Steps:
    """Ask once, and keep the connection."""
    line.ask()
    answer = line.response()
    body = answer.read()
    line.answered(answer.status, answer.getheader("Content-Type") or "", body)
    if answer.will_close:
        return
    yield
    line.sock.recv(1)


def sse(line: Line) -> Steps:
    """Read a stream of events to its end."""
    line.ask()
    answer = line.response()
    if answer.status != 200:
        answer.read()
        return line.answered(answer.status)
    yield
    last, kind, event = line.asked_at, Kind.FIRST_EVENT, b"{}"
    for text in answer:
        if text.startswith(b"data:"):
            now, event = time.monotonic(), text[5:]
            line.told.event(kind, now - last)
            last, kind = now, Kind.EVENT_GAP
    if is_last(event):
        line.answered(answer.status)
        line.over.rest(line.target.rest_s)
    return None


def is_last(event: bytes) -> bool:
    """Whether a stream that ended after this event was whole: without a length, a broken connection is an end too."""
    said = json.loads(event)
    return bool(said.get("item") and said["item"] == said.get("of"))


def websocket(line: Line) -> Steps:
    """Send a message, wait for its echo, rest, and again."""
    line.begin()
    speaking = WebSocket(line.sock, line.target.host, line.target.port, line.target.path, line.target.fields())
    yield
    while not line.over.begun:
        sent = time.monotonic()
        speaking.send(MESSAGE)
        if speaking.receive() is None:
            return
        line.told.event(Kind.ROUND_TRIP, time.monotonic() - sent)
        line.over.rest(line.target.rest_s)


@dataclass(frozen=True)
class Client:
    """One kind: `again` says whether it opens another connection when it has lost one."""

    steps: Callable[[Line], Steps]
    again: bool = True
    window_bytes: int = 0


CLIENTS: Mapping[str, Client] = {
    "upload": Client(upload),
    "reader": Client(reader, window_bytes=WINDOW_BYTES),
    "idle": Client(idle, again=False),
    "sse": Client(sse),
    "websocket": Client(websocket),
}


class Holding:
    """Users of one kind, each with one connection at a time."""

    def __init__(self, client: Client, target: Target, over: Over, told: Told) -> None:
        self._client, self._target, self._over, self._told = client, target, over, told
        self._turn = Semaphore(OPENED_AT_ONCE)

    def hold(self) -> None:
        """One user, to the end of the load."""
        while not self._over.begun:
            try:
                self._hold_one()
            except FAULTS:
                self._over.rest(RETRY_SECONDS)
            if not self._client.again:
                return

    def _hold_one(self) -> None:
        """A connection, from its opening to its end."""
        with ExitStack() as until_lost:
            with self._turn:
                sock = self._target.connect(self._client.window_bytes)
                until_lost.callback(self._over.drop, sock)
                self._over.keep(sock)
                line = Line(sock, self._target, self._over, self._told)
                until_lost.callback(line.end)
                steps = self._client.steps(line)
                is_held = next(steps, "over") is None
            if is_held:
                sock.settimeout(None)
                self._told.held(+1)
                until_lost.callback(self._told.held, -1)
                for _ in steps:
                    pass
