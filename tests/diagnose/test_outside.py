"""Servers that show nothing by themselves, started as anyone starts them: judged by /proc and their connections."""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.diagnose.load import WATCH_SECONDS, asked, watched
from tests.ports import free_port
from tests.waiting import wait_for
from waitlab import process
from waitlab.diagnose import sources
from waitlab.diagnose.decision import Verdict, decide
from waitlab.diagnose.limits import Limit
from waitlab.runtime import pages
from waitlab.verbs import diagnosed

WSGI = """
import time

def app(environ, start_response):
    time.sleep(0.2)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
CALLING = """
import os
import urllib.request

def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [urllib.request.urlopen(os.environ["CALLEE"]).read()]
"""
POOLED = """
import threading
import time

pool = threading.Semaphore(3)

def app(environ, start_response):
    with pool:
        time.sleep(0.1)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
ASGI = """
import asyncio
import time

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    time.sleep(0.2) if scope["path"] == "/blocked" else await asyncio.sleep(0.2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""


@contextmanager
def served(folder: Path, program: str, *words: str) -> Iterator[str]:
    """The application behind a server that is told its port by `{port}`."""
    port = free_port()
    (folder / "stranger.py").write_text(program)
    command = [sys.executable, "-m", *(word.replace("{port}", str(port)) for word in words)]
    child = process.start(command, environment=dict(os.environ), log=folder / "log", cwd=folder)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: not pages.ailment(f"{url}/", 1.0), "an answer")
        yield url
    finally:
        process.stop(child)


@pytest.fixture(scope="module")
def sync(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    words = ("gunicorn", "stranger:app", "--workers", "2", "--bind", "127.0.0.1:{port}", "--control-socket", "own.ctl")
    with served(tmp_path_factory.mktemp("wsgi"), WSGI, *words) as url:
        yield url


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("asgi"), ASGI, "uvicorn", "stranger:app", "--port", "{port}") as url:
        yield url


def judged(url: str) -> Verdict:
    seen = watched(sources.of_port("stranger", url))
    assert not seen.telemetry
    return decide(seen)


def test_exhausted_workers(sync: str) -> None:
    with asked(sync, "/", users=8):
        assert judged(sync).limit is Limit.WORKERS


def test_workers_with_room(sync: str) -> None:
    with asked(sync, "/", users=1):
        assert judged(sync).limit is Limit.NONE


def test_a_pool_behind_threads_that_nobody_shows(tmp_path: Path) -> None:
    words = ("gunicorn", "stranger:app", "--threads", "12", "--bind", "127.0.0.1:{port}", "--control-socket", "own.ctl")
    with served(tmp_path, POOLED, *words) as url, asked(url, "/", users=30):
        verdict = judged(url)
    assert verdict.limit is Limit.DATABASE, verdict
    assert Limit.WORKERS in [one.limit for one in verdict.also]


def test_workers_that_wait_for_somebody_who_may_be_full_himself(
    sync: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CALLEE", sync)
    words = ("gunicorn", "stranger:app", "--workers", "4", "--bind", "127.0.0.1:{port}", "--control-socket", "own.ctl")
    with served(tmp_path, CALLING, *words) as url, asked(url, "/", users=8):
        verdict = judged(url)
    assert verdict.limit is Limit.WORKERS, verdict
    assert any(sync.removeprefix("http://") in one for one in verdict.doubts), verdict


def test_a_blocked_loop(loop: str) -> None:
    with asked(loop, "/blocked", users=6):
        assert judged(loop).limit is Limit.LOOP


def test_what_a_loop_has_inside_cannot_be_told(loop: str) -> None:
    with asked(loop, "/", users=6):
        assert judged(loop).limit is Limit.UNKNOWN


@contextmanager
def slow(url: str, count: int) -> Iterator[None]:
    """Clients that send their requests a byte at a time."""
    port, over = int(url.rpartition(":")[2]), threading.Event()
    with ExitStack() as opened:
        clients = [opened.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]

        def send() -> None:
            for byte in b"GET / HTTP/1.1\r\nX: " + b"x" * 500:
                for client in clients:
                    client.sendall(bytes([byte]))
                if over.wait(0.2):
                    return

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(0.5)
        try:
            yield
        finally:
            over.set()
            sender.join()


def test_slow_clients(sync: str) -> None:
    with slow(sync, count=2), asked(sync, "/", users=3):
        assert judged(sync).limit is Limit.SLOW_CLIENTS


def test_the_command_says_it_to_people_and_to_programs(
    loop: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    (tmp_path / "lab.toml").write_text(f'[service]\nname = "shop"\nurl = "{loop}"\n[[requests]]\npath = "/"\n')
    with asked(loop, "/blocked", users=6):
        assert diagnosed.run(str(tmp_path), WATCH_SECONDS, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["service"], told["limit"]) == ("shop", "event loop blocked")
    assert told["figures"]["workers"][0]["has_loop"] is True
    time.sleep(1.0)  # connections that were closed while the loop was blocked are taken leave of
    assert diagnosed.run(loop, WATCH_SECONDS, as_json=False) == diagnosed.CANNOT_TELL
    assert "cannot tell" in capsys.readouterr().out
