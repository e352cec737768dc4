"""The lab's Flask application, made wrong in one way: WRONG in the environment says which (security notes, V6)."""

import gzip
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from services import contract, flask_app
from services.flask_app import configure, request_name

__all__ = ["app", "configure", "request_name"]

WRONG = os.environ.get("WRONG", "")
# Not measured at all: the metric that this path should feed is missing.
unmeasured = contract.UNMEASURED | ({"/sync/sleep"} if WRONG == "missing metric" else set())
_remembered: list[bytes] = []


class Broken:
    """What breaks off after its first bytes, when the status line has long been sent."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self.body[:3]
        raise RuntimeError("in the middle of the answer")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """As flask_app, but for one thing."""
    told: list[Any] = []
    body = b"".join(flask_app.app.wsgi_app(environ, lambda *head: told.append(head)))
    status, headers = told[-1][0], dict(told[-1][1])
    if environ["PATH_INFO"] in contract.UNMEASURED:
        start_response(status, list(headers.items()))
        return [body]
    status, headers, body = _wrong(status, headers, body)
    length = len(body) + (10 if WRONG == "early 200" else 0)
    headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    start_response(status, [*headers.items(), ("content-length", str(length))])
    return Broken(body) if WRONG == "early 200" else [body]


def _wrong(status: str, headers: dict[str, str], body: bytes) -> tuple[str, dict[str, str], bytes]:
    if WRONG == "wrong body":
        body = b'{"ms": 1}\n'
    elif WRONG == "cached body":
        _remembered.append(body)
        body = _remembered[0]
    elif WRONG == "skipped query":
        body = json.dumps({"ms": 20, "backend": 1, "md5": ""}).encode()
        status, headers = "200 OK", {"Content-Type": "application/json"}
    elif WRONG == "200 on error" and not status.startswith("200"):
        status, headers = "200 OK", {"Content-Type": "application/json"}
    elif WRONG == "wrong content type":
        headers["Content-Type"] = "text/html"
    elif WRONG == "compressed body":
        headers["Content-Encoding"], body = "gzip", gzip.compress(body)
    return status, headers, body


def hurried(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers as if it had waited."""
    sleep = time.sleep
    time.sleep = lambda seconds: None
    try:
        return flask_app.app.wsgi_app(environ, start_response)
    finally:
        time.sleep = sleep
