"""Streams of one fixed request, or of a mix: a closed loop of users, or a schedule that waits for no answer."""

import contextlib
import itertools
import random
import time
from urllib.parse import urlsplit

import gevent
from gevent.event import Event
from gevent.lock import Semaphore
from gevent.pool import Pool
from geventhttpclient.response import HTTPParseError

from locustfiles.alarm import Alarm
from locustfiles.connections import Connections
from locustfiles.mix import Asked, Mix, turns
from locustfiles.recorder import Recorder
from locustfiles.users import traceparent
from waitlab.drive.record import Outcome

CONNECTIONS = 500  # at most, of one schedule; what is due beyond them waits, and is late
LANES = 8  # a schedule's requests take turns on so many kept connections, so that every worker gets its share
VICTIM_CONNECTIONS = 64  # open before the load begins: a blocked event loop accepts one a round
MOST_VICTIM_CONNECTIONS = 512  # where nobody answers it for half a minute
SAMPLE_ONE_IN = 50
TRACE_ONE_IN = 100
RETRY_SECONDS = 0.1  # a user who got no answer rests at least so long
LONGEST_SPREAD_SECONDS = 10.0
OPENING_SECONDS, OPENING_A_USER_SECONDS = 0.1, 0.002  # for the service to take up all users' connections
GOLDEN = 0.618034  # its multiples, modulo 1, are spread evenly however many there are
IN_FLIGHT_SECONDS = 0.02
GOOD, BAD_STATUS = int(Outcome.GOOD), int(Outcome.BAD_STATUS)
NO_ANSWER: tuple[tuple[type[Exception], Outcome], ...] = (
    (ConnectionRefusedError, Outcome.REFUSED),
    (TimeoutError, Outcome.TIMED_OUT),
    (ConnectionError, Outcome.RESET),
    (HTTPParseError, Outcome.RESET),  # also a connection that was closed without an answer, or in the middle of it
    (OSError, Outcome.NO_CONNECTION),
)
FAULTS = tuple(kind for kind, _ in NO_ANSWER)


class Leaving:
    """Whether the load is to end. Whoever waits for a moment is woken when that begins."""

    def __init__(self) -> None:
        self.begun = False
        self.at = 0.0
        self._alarms: list[Alarm] = []

    def begin(self) -> None:
        """From now on nothing more is sent."""
        self.begun, self.at = True, time.monotonic()
        for alarm in self._alarms:
            alarm.ring()

    def alarm(self) -> Alarm:
        """A new alarm, which this rings."""
        self._alarms.append(Alarm())
        return self._alarms[-1]


class Target:
    """One path of a service, or a mix of them, asked again and again; every answer goes to the recorder."""

    def __init__(self, recorder: Recorder, url: str, request: str | Mix, patience_s: float, mark: int = 0) -> None:
        parts = urlsplit(url)
        self.recorder = recorder
        self._host, self._port = parts.hostname or "", parts.port or 80
        asked = (Asked("GET", request),) if isinstance(request, str) else request
        self._turns, self._is_mix = turns(asked, parts.netloc), not isinstance(request, str)
        self._patience_s = patience_s
        self.mark = mark
        self._number = itertools.count()
        self._ill: set[tuple[str, int]] = set()  # a sample of each is there

    def connections(self, size: int = 1, *, in_turns: bool = False) -> Connections:
        """So many of its own for whoever asks."""
        return Connections(self._host, self._port, size, self._patience_s, in_turns=in_turns)

    def ask(self, connections: Connections, intended: float, rest: float = 0.0) -> tuple[float, bool]:
        """One request: when it was over, and whether it was answered."""
        recorder, number, turn = self.recorder, next(self._number), next(self._turns)
        recorder.under_way += 1
        recorder.sent += 1
        status, outcome = 0, GOOD
        sent = time.monotonic()
        start, trace = time.time() - (sent - intended), traceparent(number % TRACE_ONE_IN == 0)
        head = f"{turn.head}X-Request-Start: t={start:.6f}\r\ntraceparent: {trace}\r\n\r\n"
        try:
            response = connections.send(head.encode("latin-1") + turn.body, turn.method)
            body = response.read()
            ended, status = time.monotonic(), response.status_code
        except FAULTS as fault:
            ended, outcome = time.monotonic(), int(next(kind for error, kind in NO_ANSWER if isinstance(fault, error)))
        else:
            if not 200 <= status < 300:
                outcome = BAD_STATUS
            if number % SAMPLE_ONE_IN == 0 or (outcome and self._is_mix and self._is_new(turn.name, status)):
                recorder.sample(turn.name, status, str(response.get("content-type", "")), body)
        recorder.answer(intended, sent, ended, rest, status, outcome, self.mark)
        recorder.under_way -= 1
        return ended, outcome <= BAD_STATUS

    def _is_new(self, name: str, status: int) -> bool:
        """Whether no such answer is sampled yet: who reads the recording shall know what was asked for it."""
        known = (name, status) in self._ill
        self._ill.add((name, status))
        return not known


class ClosedLoop:
    """Users who each send their next request when the last is answered and they have rested."""

    def __init__(self, target: Target, think_s: float, leaving: Leaving) -> None:
        self._target = target
        self._think_s = think_s
        self._leaving = leaving
        self._numbers = itertools.count()
        self._users = 0
        self._first_over = Event()
        self._is_kept = False
        self._begin = self._cycle_s = 0.0

    def visit(self) -> None:
        """One user, to the end of the load."""
        recorder, connection, alarm = self._target.recorder, self._target.connections(), self._leaving.alarm()
        due, rest = self._enter(connection), self._think_s
        recorder.under_way += 1  # the recording must not end before the user's last rest is in it
        try:
            while self._is_time(due, alarm):
                ended, answered = self._target.ask(connection, due, rest)
                rest = self._think_s if answered else max(self._think_s, RETRY_SECONDS)
                due = ended + rest
        finally:
            if not self._target.mark:  # the rests of who is beside the load are asked by nobody
                recorder.left(due, rest)
            recorder.under_way -= 1

    def _is_time(self, due: float, alarm: Alarm) -> bool:
        """Wait until a request is due; false when the load ends before it can leave."""
        if due > time.monotonic():
            alarm.wait_until(due)
        else:
            gevent.sleep(0)  # take turns: how late the request leaves then shows how busy this process is
        return not self._leaving.begun

    def _enter(self, connection: Connections) -> float:
        """When this user begins: all users spread evenly over the time that the first request, asked alone, needed.

        Users in lockstep would make bursts, and a window of so many bursts and a bit is off by up to one of them. Where
        the service keeps connections all are open before: a blocked event loop would let in one user a round.
        """
        number = next(self._numbers)
        self._users += 1
        if number == 0:
            self._ask_alone(connection)
        self._first_over.wait()
        if self._is_kept:
            with contextlib.suppress(OSError):  # the request will meet it again, and record it
                connection.open()
        return self._begin + self._cycle_s * (number * GOLDEN % 1)

    def _ask_alone(self, connection: Connections) -> None:
        intended = time.monotonic()
        ended, _ = self._target.ask(connection, intended)
        self._is_kept = connection.is_kept
        self._cycle_s = min(LONGEST_SPREAD_SECONDS, ended - intended + self._think_s)
        self._begin = ended + OPENING_SECONDS + self._users * OPENING_A_USER_SECONDS
        self._first_over.set()


class Schedule:
    """Requests that are due at even distances, whether or not the ones before are answered.

    Of its greenlets one waits for the next moment. It then asks at once itself, while the next one waits.
    """

    def __init__(self, target: Target, rate: float, leaving: Leaving, *, is_victim: bool = False) -> None:
        lanes, size = (1, MOST_VICTIM_CONNECTIONS) if is_victim else (LANES, CONNECTIONS)
        self._target = target
        self._rate = rate
        self._leaving = leaving
        self._is_victim = is_victim
        self._lanes = itertools.cycle([target.connections(size, in_turns=is_victim) for _ in range(lanes)])
        self._greenlets = Pool(size)
        self._turn = Semaphore()
        self._alarm = leaving.alarm()
        self._began = 0.0
        self._waiting = self._taken = self._answered = 0

    def run(self) -> None:
        """To the end of the load; what was due by then and could not leave is recorded as unsent."""
        recorder = self._target.recorder
        recorder.under_way += 1  # the recording must not end before what is unsent is in it
        self._began = time.monotonic()
        if not self._is_victim:
            gevent.spawn(self._sample)
        self._greenlets.spawn(self._send)
        self._greenlets.join()
        while (moment := self._due(self._taken)) <= self._leaving.at:
            recorder.unsent(moment)
            self._taken += 1
        recorder.under_way -= 1

    def open(self) -> None:
        """Open all connections at once, by a request on each: an idle one would hold a worker that serves but one."""
        for _ in range(VICTIM_CONNECTIONS):
            self._greenlets.spawn(self._target.ask, next(self._lanes), time.monotonic())
        self._greenlets.join()

    def _due(self, number: int) -> float:
        return self._began + number / self._rate

    def _send(self) -> None:
        while True:
            self._waiting += 1
            with self._turn:
                self._waiting -= 1
                due = self._due(self._taken)
                if due > time.monotonic():
                    self._alarm.wait_until(due)
                if self._leaving.begun:
                    return
                self._taken += 1
                if not self._waiting and not self._greenlets.full():
                    self._greenlets.spawn(self._send)
            self._target.ask(next(self._lanes), due)
            self._answered += 1

    def _sample(self) -> None:
        """At random moments: even ones would meet the schedule at the same point of its beat again and again."""
        while not self._leaving.begun:
            gevent.sleep(random.uniform(0, 2 * IN_FLIGHT_SECONDS))
            now = time.monotonic()
            due = int((now - self._began) * self._rate) + 1
            self._target.recorder.in_flight(now, due - self._answered)
