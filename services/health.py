"""What every service says about itself: that it lives, that what it depends on answers, what it is, and its metrics."""

import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from services import settings
from services.problem import Problem
from waitlab import telemetry
from waitlab.telemetry import names

CHECK_SECONDS = 0.9  # for each of the two dependencies, so that readiness is known within two seconds
# Threads of its own, made at first use: a worker whose other threads are all busy is busy, not unready.
readiness = ThreadPoolExecutor(2, thread_name_prefix="readiness")


def alive() -> dict[str, object]:
    """This process answers."""
    return {"healthy": True}


def about() -> dict[str, object]:
    """Every knob this service was started with, and which of its workers answered."""
    return {**settings.current.about, **telemetry.worker_facts()}


def metrics(accept: str) -> tuple[bytes, str]:
    """The metrics of the worker that took this request, and their content type."""
    openmetrics = "application/openmetrics-text" in accept
    return telemetry.page(openmetrics), names.OPENMETRICS_PAGE if openmetrics else names.PLAIN_PAGE


def ready() -> dict[str, object]:
    """Which dependencies answer; Problem 503 naming those that do not. One that is not configured is not asked."""
    asked = {
        "postgresql": (settings.current.database_url, _ask_postgresql),
        "upstream": (settings.current.upstream_url, _ask_upstream),
    }
    said = {name: _checked(url, ask) for name, (url, ask) in asked.items() if url is not None}
    failing = {name: why for name, why in said.items() if why}
    if failing:
        detail = "Not ready: " + "; ".join(f"{name}: {why}" for name, why in failing.items())
        raise Problem(503, detail, {"retry-after": "1"}, failing=list(failing))
    return {"ready": True, "answering": list(said)}


def _checked(url: str, ask: Callable[[socket.socket, str], None]) -> str:
    """Empty when the dependency at `url` answers; otherwise what went wrong."""
    where = urlsplit(url)
    try:
        with socket.create_connection((where.hostname, where.port or 5432), CHECK_SECONDS) as connection:
            ask(connection, url)
    except OSError as error:
        return str(error) or type(error).__name__
    return ""


# Both are asked by hand: a pool would call a busy service not ready, and a client would cost an idle worker its memory.
def _ask_postgresql(connection: socket.socket, url: str) -> None:
    """Begin a session, as pg_isready does: R means that the server takes sessions, E that it refuses."""
    words = f"user\0{urlsplit(url).username or 'postgres'}\0database\0{urlsplit(url).path[1:]}\0\0".encode()
    connection.sendall(struct.pack("!ii", 8 + len(words), 196_608) + words)
    if connection.recv(1) != b"R":
        raise OSError("takes no sessions")
    connection.sendall(b"X\0\0\0\x04")  # goodbye


def _ask_upstream(connection: socket.socket, url: str) -> None:
    connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nConnection: close\r\n\r\n".encode())
    if b" 200 " not in connection.recv(64):
        raise OSError("does not answer 200 to /healthz")
