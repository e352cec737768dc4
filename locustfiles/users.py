"""The user classes: each sends its request, waits for the answer, rests for the think time, and begins again."""

import itertools
import secrets
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from gevent.event import Event
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from locustfiles import parts
from locustfiles.request import Request, resolve

_sent = itertools.count()  # by this process; a forked Locust worker counts its own


class LabUser(FastHttpUser):
    """A closed loop of one request.

    Each user holds one connection and keeps it alive, so a service's workers share users, not requests; gunicorn's sync
    worker closes after every response, and there each request pays for a new connection.
    """

    abstract = True
    own_workload: ClassVar[str]
    addresses: ClassVar[Mapping[str, str]] = {}  # service -> base URL, set once by lab.py; the only hosts ever asked
    host = ""
    # Longer than the longest answer: 10 s of work behind a queue of a thousand users. A timeout is a failure.
    connection_timeout = 120.0
    network_timeout = 120.0

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        # Nothing but 2xx is a success. A redirect is a failure too, and so is never followed to another host.
        self.client.client.valid_response_codes = frozenset(range(200, 300))  # type: ignore[misc]
        self._due = time.perf_counter()
        self._leaving = Event()

    def wait_time(self) -> float:
        """Nothing: `send` itself rests."""
        return 0.0

    def stop(self, force: bool = False) -> bool:
        """After the request under way, or at once out of the rest before the next.

        Locust would kill a user that it believes to rest, also when its rest has just ended and its request is sent:
        the service would count a request that no client does.
        """
        if force:
            return bool(super().stop(force=True))
        self._leaving.set()
        return False

    @task
    def send(self) -> None:
        """Rest until it is due, then one request, with the moment it was due and its trace, sampled for one in N."""
        rest = self._due - time.perf_counter()
        if self._leaving.is_set() or (rest > 0 and self._leaving.wait(rest)):
            raise StopUser
        options: Any = self.environment.parsed_options
        request = resolve(options.service, options.style, options.workload, options.parameters, self.own_workload)
        late = time.perf_counter() - self._due
        trace = traceparent(sampled_in(options.trace_one_in))
        headers = {"X-Request-Start": f"t={time.time() - late:.6f}", "traceparent": trace}
        self.ask(request, headers, late)
        self._due = time.perf_counter() + float(options.think_time_ms) / 1000

    def ask(self, request: Request, headers: Mapping[str, str], late_s: float) -> None:
        """Send it and take the whole answer; `late_s` after it was due."""
        url = self.addresses[request.service] + request.target
        self.client.get(url, name=request.name, headers=dict(headers), context={"late_seconds": late_s})


def sampled_in(one_in: int) -> bool:
    """Whether this process' next request is traced: one in so many is, none in 0."""
    return bool(one_in) and next(_sent) % one_in == 0


def traceparent(is_sampled: bool) -> str:
    """From the system's random source: forked Locust workers share the state of `random` and would repeat ids."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-{is_sampled:02x}"


class IoBound(LabUser):
    """Asks for a wait: sleep, 200 ms."""

    own_workload = "sleep"


class CpuBound(LabUser):
    """Asks for CPU: burn, about 10 ms."""

    own_workload = "burn"


class Mixed(LabUser):
    """Asks for a wait and then CPU in one request."""

    own_workload = "mixed"


class Profile(LabUser):
    """Asks for the essays' opening: two queries, one file read, one fetch."""

    own_workload = "profile"


class OneRequest(LabUser):
    """Asks for exactly what is chosen; with no workload chosen, for the lightest answer there is."""

    own_workload = "ping"


class Sse(LabUser):
    """Reads a stream of events to its end: how long until the first, and from each to the next."""

    own_workload = "sse"

    def ask(self, request: Request, headers: Mapping[str, str], late_s: float) -> None:
        asked = parts.target(self.addresses[request.service], request.target, headers, self.network_timeout)
        told = parts.Told(self.environment.events.request.fire, parts.SSE, request.name, late_s)
        parts.read_events(asked, told)


class WebSocket(LabUser):
    """Opens a WebSocket and keeps it: sends a message, waits for its echo, rests for the think time, and again.

    The connection is the request, and is told at its end; each echo is a part of it.
    """

    own_workload = "ws"
    _kept: tuple[Request, parts.Conversation] | None = None

    def ask(self, request: Request, headers: Mapping[str, str], late_s: float) -> None:
        if self._kept and self._kept[0] != request:  # edited in the web UI
            self.on_stop()
        try:
            self._kept = self._kept or (request, self._open(request, headers, late_s))
            self._kept[1].exchange()
        except OSError:  # Locust was told, and another one is tried
            self._kept = None

    def on_stop(self) -> None:
        """Close what is open."""
        if self._kept:
            (_, conversation), self._kept = self._kept, None
            conversation.end()

    def _open(self, request: Request, headers: Mapping[str, str], late_s: float) -> parts.Conversation:
        asked = parts.target(self.addresses[request.service], request.target, headers, self.network_timeout)
        told = parts.Told(self.environment.events.request.fire, parts.WS, request.name, late_s)
        return parts.Conversation(asked, told)


PLAIN_USERS = (IoBound, CpuBound, Mixed, Profile, OneRequest)
OWN_WORKLOADS = {user.__name__: user.own_workload for user in (*PLAIN_USERS, Sse, WebSocket)}
DEFAULT_USERS = tuple(user.__name__ for user in PLAIN_USERS)  # where none is named
