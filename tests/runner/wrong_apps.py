"""The lab's Flask application, made wrong in one way (security notes, V6).

WRONG in the environment says which, or that a file in RUN_DIR says it, at each request anew.
"""

import gzip
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

from services import contract, flask_app
from services.flask_app import configure, request_name

__all__ = ["app", "configure", "request_name"]

AS_THE_FILE_SAYS, FILE = "as the file says", "wrong"
WRONG = os.environ.get("WRONG", "")
# Not measured at all: the metric that this path should feed is missing.
unmeasured = contract.UNMEASURED | ({"/sync/sleep"} if WRONG == "missing metric" else set())
_remembered: list[bytes] = []
RIGHT_ANSWERS = 20  # of each worker, before it goes wrong under load
_answers = itertools.count()


class Broken:
    """What breaks off after its first bytes, when the status line has long been sent."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def __iter__(self) -> Iterator[bytes]:
        yield self.body[:3]
        raise RuntimeError("in the middle of the answer")


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """As flask_app, but for one thing."""
    wrong, told = _wrong_now(), list[Any]()
    with _hurry() if wrong == "skipped wait" else nullcontext():
        body = b"".join(flask_app.app.wsgi_app(environ, lambda *head: told.append(head)))
    status, headers = told[-1][0], dict(told[-1][1])
    if environ["PATH_INFO"] in contract.UNMEASURED:
        start_response(status, list(headers.items()))
        return [body]
    status, headers, body = _made_wrong(wrong, status, headers, body)
    length = len(body) + (10 if wrong == "early 200" else 0)
    headers = {name: value for name, value in headers.items() if name.lower() != "content-length"}
    start_response(status, [*headers.items(), ("content-length", str(length))])
    return Broken(body) if wrong == "early 200" else [body]


def _wrong_now() -> str:
    return (Path(os.environ["RUN_DIR"]) / FILE).read_text() if WRONG == AS_THE_FILE_SAYS else WRONG


@contextmanager
def _hurry() -> Iterator[None]:
    """Time in which nobody waits."""
    with mock.patch.object(time, "sleep"):
        yield


def _made_wrong(wrong: str, status: str, headers: dict[str, str], body: bytes) -> tuple[str, dict[str, str], bytes]:
    if wrong == "wrong body" or (wrong == "wrong later" and next(_answers) >= RIGHT_ANSWERS):
        body = b'{"ms": 1}\n'
    elif wrong == "cached body":
        _remembered.append(body)
        body = _remembered[0]
    elif wrong == "skipped query":
        body = json.dumps({"ms": 20, "backend": 1, "md5": ""}).encode()
        status, headers = "200 OK", {"Content-Type": "application/json"}
    elif wrong == "200 on error" and not status.startswith("200"):
        status, headers = "200 OK", {"Content-Type": "application/json"}
    elif wrong == "wrong content type":
        headers["Content-Type"] = "text/html"
    elif wrong == "compressed body":
        headers["Content-Encoding"], body = "gzip", gzip.compress(body)
    return status, headers, body
