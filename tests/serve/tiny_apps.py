"""Two tiny applications for the tests of the parent and of telemetry: one WSGI, one ASGI, with the same paths."""

import asyncio
import contextvars
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from waitlab import telemetry

unmeasured = frozenset({"/healthz", "/facts"})
_about: dict[str, object] = {}


def configure(about: dict[str, object], tokens: int, upstream_ca: str | None) -> None:
    _about.update(about, tokens=tokens, upstream_ca=upstream_ca)


def request_name(path: str) -> tuple[str, str] | None:
    style, _, workload = path[1:].partition("/")
    return (
        (style, workload) if style == "test" and workload in {"ping", "sleep", "burn", "fail", "spans", "cut"} else None
    )


def _facts() -> dict[str, object]:
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    return {
        **telemetry.worker_facts(),
        "about": _about,
        "opentelemetry": any(name.split(".")[0] == "opentelemetry" for name in sys.modules)
        or "opentelemetry" in mapped,
        "headers": telemetry.outgoing_headers(),
        "affinity": sorted(os.sched_getaffinity(0)),
    }


def _burn(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        sum(range(1000))


def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    seconds = float(parse_qs(environ["QUERY_STRING"]).get("ms", ["0"])[0]) / 1000
    status, body = "200 OK", b"ok"
    if path == "/facts":
        body = json.dumps(_facts()).encode()
    elif path == "/test/sleep":
        with telemetry.span("sleep"):
            time.sleep(seconds)
    elif path == "/test/burn":
        _burn(seconds)
    elif path == "/test/spans":
        with telemetry.span("query", **{"db.system.name": "postgresql"}), telemetry.span("inner"):
            body = json.dumps(telemetry.outgoing_headers()).encode()
    elif path == "/test/fail":
        raise RuntimeError("asked to fail")
    elif path not in ("/test/ping", "/healthz"):
        status, body = "404 Not Found", b"no"
    start_response(status, [("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    if scope["type"] != "http":
        raise RuntimeError("this application knows HTTP alone")
    path = scope["path"]
    seconds = float(parse_qs(scope["query_string"].decode()).get("ms", ["0"])[0]) / 1000
    status, body = 200, b"ok"
    if path == "/facts":
        body = json.dumps(_facts()).encode()
    elif path == "/test/sleep":
        with telemetry.span("sleep"):
            time.sleep(seconds)  # on purpose: it blocks the loop
    elif path == "/test/burn":
        _burn(seconds)
    elif path == "/test/spans":
        with telemetry.span("query", **{"db.system.name": "postgresql"}), telemetry.span("inner"):
            context = contextvars.copy_context()
            headers = await asyncio.get_running_loop().run_in_executor(None, context.run, telemetry.outgoing_headers)
            body = json.dumps(headers).encode()
    elif path == "/test/fail":
        raise RuntimeError("asked to fail")
    elif path not in ("/test/ping", "/healthz"):
        status, body = 404, b"no"
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def refusing(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """An application that fails its lifespan as frameworks do: with a traceback for a message."""
    assert scope["type"] == "lifespan"
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "Traceback ...\nRuntimeError: no database today\n"})
