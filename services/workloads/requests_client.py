"""The upstream through `requests`: one session a process. Imported at first use only."""

import threading

import requests
from requests.adapters import HTTPAdapter

from services import settings
from services.workloads import outside
from services.workloads.calls import Calls
from services.workloads.lazy import Lazy
from waitlab import telemetry


class _Client:
    def __init__(self) -> None:
        self.session = requests.Session()
        self.session.trust_env = False  # no proxy, no .netrc: reading them costs every call, and may lead elsewhere
        adapter = HTTPAdapter(pool_connections=2, pool_maxsize=outside.BLOCKING_CALLS)
        self.session.mount("http://", adapter)
        self.session.mount("https://", adapter)
        # The pool of `requests` opens surplus connections or waits without end; this bound does neither.
        self.places = threading.BoundedSemaphore(outside.BLOCKING_CALLS)
        self.calls = Calls("requests", outside.BLOCKING_CALLS)


client = Lazy(_Client, close=lambda made: made.session.close())


def call(ms: int, tls: bool) -> int:
    """What the upstream says it waited; Problem 503 or 504 when it fails."""
    url, ours = outside.item(ms, tls), client.get()
    with ours.calls:
        if not ours.places.acquire(timeout=outside.CONNECT_SECONDS):
            raise outside.unreachable(f"all {outside.BLOCKING_CALLS} connections of this worker are in use")
        try:
            return _get(ours.session, url, ms)
        finally:
            ours.places.release()


def _get(session: requests.Session, url: str, ms: int) -> int:
    try:
        answer = session.get(
            url,
            headers=telemetry.outgoing_headers(),
            timeout=(outside.CONNECT_SECONDS, outside.seconds(ms)),
            allow_redirects=False,
            verify=settings.current.upstream_ca or True,
        )
    except requests.ReadTimeout as error:
        raise outside.late(ms) from error
    except requests.RequestException as error:
        raise outside.unreachable(type(error).__name__) from error
    outside.judge(answer.status_code, answer.headers.get("retry-after"))
    return int(answer.json()["ms"])
