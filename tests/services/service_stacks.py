"""What the tests of the services drive: both applications in-process, and their real dependencies as processes."""

import asyncio
import os
import secrets
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeVar

import httpx

from services import django_app, fastapi_app, flask_app
from services.lifespan import life, lifespan
from services.workloads import lazy
from tests.ports import free_port
from tests.waiting import wait_for
from waitlab import process
from waitlab.runtime.local import certificate, postgres

T = TypeVar("T")


@dataclass
class Part:
    """A real dependency as a process of its own, which a test may stop and start again at the same address."""

    command: list[str]
    environment: dict[str, str]
    answers: Callable[[], bool]
    url: str
    log: Path
    running: Popen[bytes] | None = None

    def start(self) -> None:
        self.running = process.start(self.command, environment=self.environment, log=self.log, cwd=Path.cwd())
        wait_for(lambda: self._alive() and self.answers(), f"an answer of {self.url}")

    def stop(self, **how: Any) -> None:
        if self.running is not None:
            process.stop(self.running, **how)
            self.running = None

    def signal(self, number: int) -> None:
        """To every process of the part."""
        assert self.running is not None
        for pid in [self.running.pid, *process.children(self.running.pid)]:
            os.kill(pid, number)

    def _alive(self) -> bool:
        assert self.running is not None
        assert self.running.poll() is None, self.log.read_text()
        return True


@contextmanager
def postgres_part(folder: Path) -> Iterator[Part]:
    """A PostgreSQL of the test's own."""
    port, password = free_port(), secrets.token_hex(8)
    url = postgres.url(port, password)
    environment = {"PATH": os.defpath, "POSTGRES_PASSWORD": password}
    command = postgres.command(folder, port)
    part = Part(command, environment, lambda: postgres.accepts(url), url, folder / "postgres.log")
    part.start()
    yield part
    part.stop(first=postgres.STOP_SIGNAL)
    postgres.remove(folder)


def upstream_part(folder: Path) -> Part:
    certificate.ensure(folder)
    port, tls_port = free_port(), free_port()
    environment = {
        "PATH": os.defpath,
        "PORT": str(port),
        "TLS_PORT": str(tls_port),
        "CERTIFICATE": str(folder / certificate.SERVER),
    }
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    return Part([sys.executable, "-m", "services.upstream"], environment, answers, url, folder / "upstream.log")


@dataclass
class Loop:
    """An event loop in a thread of its own, so that a test can look at it from outside."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, awaitable: Awaitable[T]) -> T:
        async def wrapped() -> T:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wrapped(), self.loop).result(60)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


LOOPS: list[Loop] = []


@contextmanager
def running_loop() -> Iterator[Loop]:
    """One for all ASGI stacks that are open: the clients and pools that they share belong to it."""
    LOOPS.append(LOOPS[-1] if LOOPS else Loop())
    yield LOOPS[-1]
    last = LOOPS.pop()
    if not LOOPS:
        last.close()


@dataclass
class Stack:
    """One application behind one client: `get` one answer, or `all` of several asked for at once."""

    all: Callable[[list[str]], list[httpx.Response]]
    loop: Loop | None = None

    def get(self, target: str) -> httpx.Response:
        return self.all([target])[0]


@contextmanager
def configured(**values: Any) -> Iterator[None]:
    """All applications told `values`; nothing again afterwards."""
    django_app.configure(**values)  # it tells what is everybody's, and Django its own
    try:
        yield
    finally:
        django_app.configure()


@contextmanager
def wsgi_stack(app: Any) -> Iterator[Stack]:
    client = httpx.Client(transport=httpx.WSGITransport(app), base_url="http://lab")
    with client, ThreadPoolExecutor(64) as threads:
        yield Stack(lambda targets: list(threads.map(client.get, targets)))
    asyncio.run(lazy.close_all())


@contextmanager
def asgi_stack(app: Any, living: Callable[[], AbstractAsyncContextManager[None]]) -> Iterator[Stack]:
    """`living` is the application's lifespan."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lab", timeout=60)

    async def get_all(targets: list[str]) -> list[httpx.Response]:
        return await asyncio.gather(*map(client.get, targets))

    with running_loop() as loop:
        lived = living()
        loop.run(lived.__aenter__())
        try:
            yield Stack(lambda targets: loop.run(get_all(targets)), loop)
        finally:
            loop.run(lived.__aexit__(None, None, None))
            loop.run(client.aclose())


flask_stack = partial(wsgi_stack, flask_app.app)
fastapi_stack = partial(asgi_stack, fastapi_app.app, partial(lifespan, fastapi_app.app))
django_wsgi_stack = partial(wsgi_stack, django_app.wsgi)
django_asgi_stack = partial(asgi_stack, django_app.asgi, life)
STACKS = {
    "flask": flask_stack,
    "fastapi": fastapi_stack,
    "django-wsgi": django_wsgi_stack,
    "django-asgi": django_asgi_stack,
}


# What asks each dependency, in every way there is.
QUERIES = [
    ("flask", "/sync/query?ms=0"),
    ("fastapi", "/sync/query?ms=0"),
    ("fastapi", "/async/query?ms=0"),
    ("fastapi", "/async/query?ms=0&driver=asyncpg"),
    ("fastapi", "/offload/query?ms=0"),
    ("fastapi", "/sync/depends?dep=session&ms=0"),
    ("fastapi", "/async/depends?dep=session&ms=0"),
    ("fastapi", "/sync/depends?dep=sqlalchemy&ms=0"),
    ("fastapi", "/async/depends?dep=sqlalchemy&ms=0"),
    ("fastapi", "/sync/depends?dep=user&ms=0"),
    ("django-wsgi", "/sync/query?ms=0"),
    ("django-wsgi", "/async/query?ms=0"),
    ("django-asgi", "/sync/query?ms=0"),
    ("django-asgi", "/async/query?ms=0"),
    ("django-asgi", "/bridged/query?ms=0"),
    ("django-asgi", "/bridged/query?ms=0&sensitive=0"),
]
FETCHES = [
    ("flask", "/sync/fetch?ms=0"),
    ("flask", "/sync/fetch?ms=0&client=httpx"),
    ("fastapi", "/async/fetch?ms=0"),
    ("fastapi", "/async/fetch?ms=0&client=httpx"),
    ("fastapi", "/sync/fetch?ms=0"),
    ("fastapi", "/sample/client-per-request?ms=0"),
    ("django-wsgi", "/sync/fetch?ms=0"),
    ("django-asgi", "/sync/fetch?ms=0"),
    ("django-asgi", "/async/fetch?ms=0"),
    ("django-asgi", "/bridged/fetch?ms=0"),
]

BOUND = 5.0  # seconds until a failing dependency is an answer
Asked = list[tuple[str, str]]


def ask(stacks: dict[str, Stack], asked: Asked) -> list[httpx.Response]:
    """All at once, since each may take seconds; every answer in bounded time."""
    with ThreadPoolExecutor(len(asked)) as threads:
        began = time.monotonic()
        answers = list(threads.map(lambda one: stacks[one[0]].get(one[1]), asked))
        assert time.monotonic() - began < BOUND
    return answers


def fail(stacks: dict[str, Stack], asked: Asked, status: set[int], dependency: str) -> None:
    for one, answer in zip(asked, ask(stacks, asked), strict=True):
        assert answer.status_code in status, (one, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["dependency"] == dependency, (one, answer.text)


def succeed(stacks: dict[str, Stack], asked: Asked) -> None:
    assert [(answer.status_code, answer.text) for answer in ask(stacks, asked) if answer.status_code != 200] == []


def recover(stacks: dict[str, Stack], asked: Asked) -> None:
    wait_for(lambda: {answer.status_code for answer in ask(stacks, asked)} == {200}, "recovery", 2 * BOUND)
