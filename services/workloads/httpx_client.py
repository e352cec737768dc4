"""The upstream through `httpx`, blocking and awaiting: an arm, never the default. Imported at first use only.

Its pool looks through all its connections and callers at every event, so that its throughput collapses above about 50
calls in flight: of 500 requests/s that 100 users could reach it served 265, of 1,000 for 200 users 91. What such a run
measures is the client's pool, and says nothing about awaiting. Its limits are its own: 100 connections, 20 kept.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from services.workloads import outside
from services.workloads.calls import Calls
from services.workloads.lazy import Lazy
from waitlab import telemetry

CONNECTIONS = 100


class _Client:
    def __init__(self) -> None:
        # trust_env: no proxy and no .netrc, as with the other clients.
        self.http = httpx.Client(trust_env=False, verify=outside.trust() or True)
        self.calls = Calls("httpx", CONNECTIONS)


class _AsyncClient:
    def __init__(self) -> None:
        self.http = httpx.AsyncClient(trust_env=False, verify=outside.trust() or True)
        self.calls = Calls("httpx-async", CONNECTIONS)


client = Lazy(_Client, close=lambda made: made.http.close())
async_client = Lazy(_AsyncClient, close=lambda made: made.http.aclose())


def call(ms: int, tls: bool) -> int:
    """What the upstream says it waited; Problem 503 or 504 when it fails."""
    url, ours = outside.item(ms, tls), client.get()
    with answering(ms), ours.calls:
        return waited(ours.http.get(url, headers=telemetry.outgoing_headers(), timeout=timeout(ms)))


async def call_async(ms: int, tls: bool) -> int:
    """As `call`, awaiting."""
    url, ours = outside.item(ms, tls), async_client.get()
    with answering(ms), ours.calls:
        return waited(await ours.http.get(url, headers=telemetry.outgoing_headers(), timeout=timeout(ms)))


def timeout(ms: int) -> httpx.Timeout:
    """How long each part of a call that should take `ms` may take."""
    return httpx.Timeout(outside.seconds(ms), connect=outside.CONNECT_SECONDS, pool=outside.CONNECT_SECONDS)


def waited(answer: httpx.Response) -> int:
    """What a good answer says; Problem 503 for any other."""
    outside.judge(answer.status_code, answer.headers.get("retry-after"))
    return int(answer.json()["ms"])


@contextmanager
def answering(ms: int) -> Iterator[None]:
    """Turn what httpx raises into the answer the client gets."""
    try:
        yield
    except httpx.ReadTimeout as error:
        raise outside.late(ms) from error
    except httpx.HTTPError as error:
        raise outside.unreachable(type(error).__name__) from error
