"""Which request a load sends: service, style, workload and parameters, checked against the contract of the services."""

import argparse
import re
from dataclasses import dataclass
from functools import lru_cache

from services import parameters
from services.contract import NO_SOCKET, SAMPLE, SAMPLES, SERVICES, SOCKET, SOCKET_NAME, offered, reason
from services.problem import Problem

ONLY = ("sse", SOCKET_NAME[1])  # workloads of user classes that can do nothing else
HELD = "HELD"  # the request type of a connection that is held: no request
NATURAL = "natural"  # a choice left open: the service's own style, the user class's own workload
_NAME = re.compile(r"([\w-]+) /(\w+)/([\w-]+)")


class Refused(argparse.ArgumentTypeError):
    """A load that must not start; the message says what was wrong and what is allowed. argparse shows it as it is."""


@dataclass(frozen=True)
class Request:
    """One request of a load, as every user of a class sends it."""

    service: str
    style: str
    workload: str
    query: str

    @property
    def name(self) -> str:
        """The row in Locust's statistics and the label in Prometheus; the contract bounds how many there can be."""
        return f"{self.service} /{self.style}/{self.workload}"

    @property
    def target(self) -> str:
        """Path and query."""
        path = SOCKET if (self.style, self.workload) == SOCKET_NAME else f"/{self.style}/{self.workload}"
        return path + (f"?{self.query}" if self.query else "")


@lru_cache(maxsize=256)  # asked once a request, so that an edit in the web UI reaches running users at their next one
def resolve(service: str, style: str, workload: str, query: str, own_workload: str) -> Request:
    """The request these choices mean for a user class whose workload is `own_workload`; Refused if not on offer."""
    if own_workload in ONLY and workload not in (NATURAL, own_workload):
        raise Refused(f"It does {own_workload} and nothing else: leave workload {NATURAL}.")
    workload = own_workload if workload == NATURAL else workload
    query = query.strip()
    if workload == SOCKET_NAME[1]:
        return _socket(service, style, query)
    style = natural_style(service, workload) if style == NATURAL else style
    request = Request(service, style, workload, query)
    endpoint = offered(service).get(f"/{style}/{workload}")
    if endpoint is None:
        why = reason(service, style, workload) or "There is no such path in the contract."
        raise Refused(f"{service} does not offer /{style}/{workload}. {why}")
    try:
        parameters.read(query.encode(errors="replace"), endpoint.parameters)
    except Problem as problem:
        raise Refused(f"{request.name} does not take the parameters {query!r}. {problem.detail}") from None
    return request


def _socket(service: str, style: str, query: str) -> Request:
    if why := NO_SOCKET.get(service):
        raise Refused(f"{service} does not offer {SOCKET}. {why}")
    if style not in (NATURAL, SOCKET_NAME[0]) or query:
        raise Refused(f"{SOCKET} has no style and no parameters: leave style {NATURAL} and parameters empty.")
    return Request(service, *SOCKET_NAME, "")


@lru_cache(maxsize=256)
def read_name(name: str) -> tuple[str, str, str] | None:
    """Service, style and workload of a `Request.name`; None for a name of another form."""
    found = _NAME.match(name)
    return (found[1], found[2], found[3]) if found else None


def natural_style(service: str, workload: str) -> str:
    """How an application of this kind is usually written: WSGI blocks its thread, ASGI awaits."""
    if workload in SAMPLES:
        return SAMPLE
    return "sync" if SERVICES[service].interface == "wsgi" else "async"
