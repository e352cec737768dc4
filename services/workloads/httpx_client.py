"""The upstream through `httpx`, blocking and awaiting: an arm, never the default. Imported at first use only.

Its pool looks through all its connections and callers at every event, so that its throughput collapses above about 50
calls in flight: of 500 requests/s that 100 users could reach it served 265, of 1,000 for 200 users 91. What such a run
measures is the client's pool; it says nothing about waiting or awaiting. Limits are httpx's own: 100 connections, 20 kept.
"""

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


client = Lazy(_Client)
async_client = Lazy(_AsyncClient)


def call(ms: int, tls: bool) -> int:
    """What the upstream says it waited; Problem 503 or 504 when it fails."""
    url, ours = outside.item(ms, tls), client.get()
    try:
        with ours.calls:
            answer = ours.http.get(url, headers=telemetry.outgoing_headers(), timeout=timeout(ms))
    except httpx.HTTPError as error:
        raise problem(error, ms) from error
    return waited(answer)


async def call_async(ms: int, tls: bool) -> int:
    """As `call`, awaiting."""
    url, ours = outside.item(ms, tls), async_client.get()
    try:
        with ours.calls:
            answer = await ours.http.get(url, headers=telemetry.outgoing_headers(), timeout=timeout(ms))
    except httpx.HTTPError as error:
        raise problem(error, ms) from error
    return waited(answer)


def timeout(ms: int) -> httpx.Timeout:
    """How long each part of a call that should take `ms` may take."""
    return httpx.Timeout(outside.seconds(ms), connect=outside.CONNECT_SECONDS, pool=outside.CONNECT_SECONDS)


def problem(error: httpx.HTTPError, ms: int) -> Exception:
    """The answer to what httpx raised."""
    if isinstance(error, httpx.ReadTimeout):
        return outside.late(ms)
    return outside.unreachable(type(error).__name__)


def waited(answer: httpx.Response) -> int:
    """What a good answer says; Problem 503 for any other."""
    outside.judge(answer.status_code, answer.headers.get("retry-after"))
    return int(answer.json()["ms"])


async def close() -> None:
    """Close every connection of both clients."""
    if ours := client.take():
        ours.http.close()
    if theirs := async_client.take():
        await theirs.http.aclose()
