"""Services of strangers: applications that are nowhere else, in folders of their own, and what a test leaves behind."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.leaving import no_process
from tests.waiting import wait_for

SHOP = """
import os, threading, time

counts, lock = {}, threading.Lock()

def app(environ, start_response):
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    with lock:
        counts[path] = counts.get(path, 0) + 1
    status, headers, body = "200 OK", [], b"[]"
    if path == "/orders":
        time.sleep(0.05)
        if method == "POST" and environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])) != b"{\\"sku\\": 1}":
            status = "400 Bad Request"
    elif path == "/sum":
        sum(range(60_000))
    elif path == "/old":
        status, headers = "302 Found", [("Location", "/orders")]
    elif path == "/account" and environ.get("HTTP_AUTHORIZATION") != "Bearer secret":
        status = "401 Unauthorized"
    elif path == "/limited" and counts[path] > 20:
        status = "429 Too Many Requests"
    elif path == "/closing" and counts[path] > 20:
        status, headers = "302 Found", [("Location", "/login")]
    elif path == "/feed":
        start_response(status, [("Content-Type", "text/event-stream")])
        return (time.sleep(0.1) or b"data: tick\\n\\n" for _ in iter(int, 1))
    elif path == "/lazy":
        time.sleep(0.0 if "lazy" in counts else 1.0)
        counts["lazy"] = 1
    elif path == "/broken":
        status = "500 Internal Server Error"
    elif path == "/dying" and counts[path] > 20:
        os.kill(os.getppid(), 9)
        os._exit(1)
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers])
    return [body]
"""
FEED = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if scope["path"] == "/feed":
        await asyncio.sleep(0.05)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
GUNICORN = f"{sys.executable} -m gunicorn shop:app --no-control-socket --bind 127.0.0.1:{{port}}"
UVICORN = f"{sys.executable} -m uvicorn feed:app --log-level warning --port {{port}}"

THREADED = f"{GUNICORN} --workers {{workers}} --threads {{threads}}"
CHOICES = "[choices]\nworkers = [1, 2, 3]\nthreads = [1, 4]\n"


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process below this one that was not there before, and all cores."""
    cores = os.sched_getaffinity(0)
    with no_process():
        yield
    assert os.sched_getaffinity(0) == cores


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with both applications."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    (folder / "feed.py").write_text(FEED)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """What a user's shell gives, with a lab of the test's own."""
    return {"PATH": os.environ["PATH"], "LAB_HOME": str(tmp_path / "lab")}


def written(folder: Path, text: str) -> Path:
    """A lab.toml in this folder."""
    file = folder / "lab.toml"
    file.write_text(text)
    return file


@contextmanager
def running(shop: Path, port: int, workers: int = 2) -> Iterator[int]:
    """A service that somebody else has started."""
    words = [sys.executable, "-m", "gunicorn", "shop:app", "--no-control-socket", "-w", str(workers)]
    child = subprocess.Popen([*words, "-b", f"127.0.0.1:{port}"], cwd=shop, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: _accepts(port), "a start")
        yield child.pid
    finally:
        child.terminate()
        child.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def toml(command: str, *paths: str, more: str = "", choices: str = CHOICES) -> str:
    asked = "".join(f'[[requests]]\npath = "{path}"\n' for path in paths or ("/orders",))
    return f"[service]\nname = \"shop\"\ncommand = '{command}'\n{more}\n{choices}{asked}"
