"""What the lab's metrics and traces cost a request, in CPU time, beside the best-known exporter of each framework.

In-process: no socket and no server, so that only the instrument differs. The arms take turns in short slices and each
slice is compared with the bare slice beside it; the figure is the median difference.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from rich.table import Table

from benchmarks.record import console, once

REQUESTS = 1_000
ROUNDS = 25
TARGET_US = 40.0
TRACED_TARGET_US = 60.0
OFF_US = 3.0  # what "nothing measurable" means here: the noise of two bare arms against each other

HEADERS = {"x-request-start": "t=1790000000.000001"}
SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

Send = Callable[[dict[str, str]], None]


def wsgi_sender(app: Any) -> Send:
    def send(headers: dict[str, str]) -> None:
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": "/sync/ping",
            "SCRIPT_NAME": "",
            "QUERY_STRING": "",
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "8001",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": None,
            "wsgi.errors": sys.stderr,
        } | {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
        body = app(environ, lambda status, headers, exc_info=None: None)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()

    return send


def asgi_sender(app: Any) -> Send:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def discard(message: dict[str, Any]) -> None:
        pass

    def send(headers: dict[str, str]) -> None:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/async/ping",
            "raw_path": b"/async/ping",
            "root_path": "",
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8002),
        }
        _run(app(scope, receive, discard))

    return send


_loop = asyncio.new_event_loop()


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    _loop.run_until_complete(coroutine)


def cost_us(send: Send, traced_one_in: int) -> float:
    """CPU microseconds a request over one slice."""
    began = time.thread_time()
    for number in range(REQUESTS):
        sampled = traced_one_in and number % traced_one_in == 0
        send({**HEADERS, "traceparent": SAMPLED} if sampled else HEADERS)
    return (time.thread_time() - began) / REQUESTS * 1e6


def compare(arms: dict[str, Send], traced_one_in: int = 0) -> dict[str, float]:
    """Median CPU us a request of `bare`, and of every other arm above the bare slice beside it."""
    slices: dict[str, list[float]] = {name: [] for name in arms}
    for send in arms.values():
        cost_us(send, traced_one_in)
    for number in range(ROUNDS):
        order = list(arms) if number % 2 == 0 else list(reversed(arms))
        for name in order:
            slices[name].append(cost_us(arms[name], traced_one_in))
    bare = slices["bare"]
    extra = {
        name: statistics.median(mine - plain for mine, plain in zip(times, bare, strict=True))
        for name, times in slices.items()
        if name != "bare"
    }
    return {"bare": statistics.median(bare), **extra}
