"""User classes that hold connections: a slow upload, a slow reader, an idle one. Two of them stop two sync workers.

In Locust's statistics HELD is a connection, from its opening to its end; it is a failure when the service ended it.
"""

# Locust is only partly typed.
# mypy: disable-error-code="no-untyped-call"

import time
from typing import Any, ClassVar
from urllib.parse import urlsplit

from locust import User, task
from locust.env import Environment
from locust.exception import StopUser

from locustfiles.held import CLIENTS, RETRY_SECONDS, Holding, Over, Target
from locustfiles.request import HELD, NATURAL, resolve
from locustfiles.users import LabUser, sampled_in, traceparent
from waitlab.drive.record import Kind, Outcome


class HoldingUser(User):
    """One connection at a time; one that is lost is opened again."""

    abstract = True
    own_workload: ClassVar[str] = "ping"
    own_parameters: ClassVar[str] = ""  # where neither workload nor parameters are chosen
    client: ClassVar[str]  # one of CLIENTS

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._over = Over()

    def wait_time(self) -> float:
        """Nothing: a connection is held as long as it lasts."""
        return 0.0

    def stop(self, force: bool = False) -> bool:
        """Hang up: whatever the connection waits for has no end of its own."""
        self._over.begin()
        return bool(super().stop(force=True)) if force else False

    @task
    def send(self) -> None:
        """Hold a connection until the load ends."""
        options: Any = self.environment.parsed_options
        query = options.parameters or (self.own_parameters if options.workload == NATURAL else "")
        request = resolve(options.service, options.style, options.workload, query, self.own_workload)
        parts = urlsplit(LabUser.addresses[request.service])
        told = Shown(self.environment, request.name, self._over)
        target = Target(parts.hostname or "", parts.port or 80, request.target, told.fields)
        holding = Holding(CLIENTS[self.client], target, self._over, told)
        while not self._over.begun:
            holding.hold()
            self._over.rest(RETRY_SECONDS)
        raise StopUser


class SlowUpload(HoldingUser):
    """Sends a request's headers, a byte a second, and never their end. No application ever sees it."""

    client = "upload"


class SlowReader(HoldingUser):
    """Asks for a long answer, 64 MB unless it is told otherwise, and takes 10 KB of it a second."""

    own_workload = "stream"
    own_parameters = "items=1000&interval_ms=0&kb=64"
    client = "reader"


class Idle(HoldingUser):
    """Asks once, and keeps its connection open."""

    client = "idle"


class Shown:
    """What a client sees, as rows of Locust's statistics."""

    def __init__(self, environment: Environment, name: str, over: Over) -> None:
        self._environment, self._name, self._over = environment, name, over
        self._since = 0.0

    def fields(self) -> dict[str, str]:
        """The headers of the next request."""
        options: Any = self._environment.parsed_options
        trace = traceparent(sampled_in(options.trace_one_in))
        return {"X-Request-Start": f"t={time.time():.6f}", "traceparent": trace}

    def asked(self) -> None:
        """Nothing to show yet."""

    def answered(self, asked: float, status: int, outcome: Outcome, kind: str, body: bytes) -> None:
        """A row of its own, as of any other request."""
        is_fine = outcome in (Outcome.GOOD, Outcome.HUNG_UP)
        self._show("GET", asked, len(body), None if is_fine else ConnectionError(f"{status or 'no answer'}"))

    def held(self, change: int) -> None:
        """A row when the connection is over."""
        if change > 0:
            self._since = time.monotonic()
            return
        lost = None if self._over.begun else ConnectionError("the service ended the connection")
        self._show(HELD, self._since, 0, lost)

    def event(self, kind: Kind, seconds: float) -> None:
        """None of these clients sees any."""

    def _show(self, kind: str, since: float, length: int, exception: Exception | None) -> None:
        self._environment.events.request.fire(
            request_type=kind,
            name=self._name,
            response_time=(time.monotonic() - since) * 1000,
            response_length=length,
            exception=exception,
            context={},
        )


OWN_WORKLOADS = {user.__name__: user.own_workload for user in (SlowUpload, SlowReader, Idle)}
