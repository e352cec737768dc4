"""A load generator whose client computes for every request, half of it before and half after, as heavy clients do.

`locustfile` is what Locust loads instead of locustfiles/recorded.py; all else of a trial is as it always is.
"""

import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent

TEXT = """
import sys
sys.path.insert(0, {project!r})
from benchmarks import heavy_client
from locustfiles.recorded import *
heavy_client.make_heavy({seconds})
"""


def locustfile(folder: Path, seconds: float) -> Path:
    """A file for Locust whose every request costs so much CPU more."""
    file = folder / f"heavy_{round(seconds * 1e6)}.py"
    file.write_text(TEXT.format(project=str(PROJECT), seconds=seconds))
    return file


def make_heavy(seconds: float) -> None:
    """Let every request of this process cost so much CPU more, between the moments that are recorded of it."""
    from locustfiles.connections import Connections  # noqa: PLC0415  gevent, which only Locust's process has to load

    plain = Connections.send

    def send(connections: Connections, request: bytes, method: str = "GET") -> Any:
        _compute(seconds / 2)
        answer = plain(connections, request, method)
        _compute(seconds / 2)
        return answer

    Connections.send = send  # type: ignore


def _compute(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
