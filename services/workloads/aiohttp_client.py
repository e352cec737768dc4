"""The upstream through `aiohttp`: one session a process. Imported at first use only."""

import aiohttp

from services.workloads import outside
from services.workloads.calls import Calls
from services.workloads.lazy import Lazy
from waitlab import telemetry


class _Client:
    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(limit=outside.AWAITING_CALLS, ssl=outside.trust() or True)
        self.session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self.calls = Calls("aiohttp", outside.AWAITING_CALLS)


client = Lazy(_Client, close=lambda made: made.session.close())


async def call(ms: int, tls: bool) -> int:
    """What the upstream says it waited; Problem 503 or 504 when it fails."""
    url, ours = outside.item(ms, tls), client.get()
    timeout = aiohttp.ClientTimeout(total=outside.seconds(ms), connect=outside.CONNECT_SECONDS)
    headers = telemetry.outgoing_headers()
    try:
        with ours.calls:
            async with ours.session.get(url, headers=headers, timeout=timeout, allow_redirects=False) as answer:
                outside.judge(answer.status, answer.headers.get("retry-after"))
                return int((await answer.json())["ms"])
    except aiohttp.ConnectionTimeoutError as error:
        raise outside.unreachable(f"no connection in {outside.CONNECT_SECONDS} s") from error
    except TimeoutError as error:
        raise outside.late(ms) from error
    except aiohttp.ClientError as error:
        raise outside.unreachable(type(error).__name__) from error
