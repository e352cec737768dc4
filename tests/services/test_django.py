"""What each way of waiting costs Django in threads: the claims of docs/django.md, counted."""

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.core.signals import request_finished, request_started
from service_stacks import Stack, configured, django_asgi_stack, django_wsgi_stack

from services import django_app

AT_ONCE = 6


@contextmanager
def django(wired: dict[str, Any], **settings: Any) -> Iterator[Stack]:
    with configured(**wired | {"pool_size": AT_ONCE, "executor_threads": 2} | settings), django_asgi_stack() as stack:
        stack.all(["/async/query?ms=0&driver=asyncpg", "/async/query?ms=0"])  # makes what is made once
        yield stack


def threads_held(stack: Stack, target: str) -> int:
    """How many threads more there are while requests wait."""
    time.sleep(0.2)  # threads of requests that have ended end now
    before = threading.active_count()
    with ThreadPoolExecutor(1) as asking:
        answers = asking.submit(stack.all, [target] * AT_ONCE)
        time.sleep(0.3)
        held = threading.active_count() - before - 1  # that one asks
        assert {answer.status_code for answer in answers.result()} == {200}
    return held


@pytest.mark.parametrize(
    ("target", "settings", "each"),
    [
        ("/sync/sleep?ms=600", {}, 1),
        ("/async/sleep?ms=600", {}, 1),
        ("/async/sleep?ms=600", {"receivers": False}, 0),
        ("/async/sleep?ms=600", {"receivers": False, "middleware": "sync"}, 1),
        ("/async/sleep?ms=600", {"receivers": False, "middleware": "both"}, 0),
        ("/bridged/sleep?ms=600", {"receivers": False}, 1),
        ("/async/query?ms=600", {"receivers": False}, 1),
        ("/async/query?ms=600&orm=for", {"receivers": False}, 1),
        ("/bridged/query?ms=600", {"receivers": False}, 1),
        ("/async/query?ms=600&driver=asyncpg", {"receivers": False}, 0),
    ],
)
def test_threads_that_a_waiting_request_holds(
    wired: dict[str, Any], target: str, settings: dict[str, Any], each: int
) -> None:
    with django(wired, **settings) as stack:
        assert threads_held(stack, target) == each * AT_ONCE


def test_what_is_not_sensitive_shares_the_executor(wired: dict[str, Any]) -> None:
    with django(wired, receivers=False) as stack:
        assert threads_held(stack, "/bridged/sleep?ms=300&sensitive=0") <= 2


def test_an_asynchronous_view_under_wsgi_takes_a_thread_more_and_serves_no_more(wired: dict[str, Any]) -> None:
    with configured(**wired), django_wsgi_stack() as stack:
        stack.all(["/sync/ping"] * AT_ONCE)
        assert threads_held(stack, "/sync/sleep?ms=600") in range(AT_ONCE + 1)  # the test's own, one a request
        assert threads_held(stack, "/async/sleep?ms=600") >= AT_ONCE


def test_a_gather_overlaps_unless_it_keeps_to_the_requests_thread(wired: dict[str, Any]) -> None:
    took = {}
    with django(wired) as stack:
        for path in ("async/gather?", "blocked/gather?", "bridged/gather?", "bridged/gather?sensitive=0&"):
            began = time.perf_counter()
            assert stack.get(f"/{path}of=sleep&ms=400").status_code == 200
            took[path] = time.perf_counter() - began
    assert min(took["blocked/gather?"], took["bridged/gather?"]) >= 0.8
    assert max(took["async/gather?"], took["bridged/gather?sensitive=0&"]) < 0.75


def test_the_receivers_are_all_that_django_has() -> None:
    known = [(signal, receiver.__name__) for signal, receiver in django_app.RECEIVERS]
    for signal in (request_started, request_finished):
        living = {receiver.__name__ for receiver in signal._live_receivers(None)[0]}
        assert living == {name for whose, name in known if whose is signal}
    with configured(receivers=False):
        assert request_started.receivers == request_finished.receivers == []


def test_without_receivers_every_connection_goes_back_all_the_same(wired: dict[str, Any]) -> None:
    with django(wired, receivers=False, pool_size=2) as stack:
        targets = [f"/{way}/query?ms=1" for way in ("sync", "async", "bridged")] * 4
        assert {answer.status_code for answer in stack.all(targets)} == {200}


def test_the_orm_refuses_to_block_an_event_loop(wired: dict[str, Any]) -> None:
    async def ask() -> None:
        django_app.query(0)

    with configured(**wired), pytest.raises(SynchronousOnlyOperation):
        asyncio.run(ask())


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous iterators")
def test_a_synchronous_stream_is_sent_when_its_last_part_is_made(wired: dict[str, Any]) -> None:
    """Asked of the application itself: what it sends, and when."""
    assert first_part_after("/sync/stream", wired) > 0.4
    assert first_part_after("/async/stream", wired) < 0.3


def first_part_after(path: str, wired: dict[str, Any]) -> float:
    """Seconds until the first bytes of five items, which take 400 ms."""
    began, first = time.perf_counter(), []

    async def ask() -> None:
        coming = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            return coming.pop() if coming else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            if message.get("body"):
                first.append(time.perf_counter() - began)

        scope = {"type": "http", "method": "GET", "path": path, "headers": []}
        await django_app.asgi({**scope, "query_string": b"items=5&interval_ms=100"}, receive, send)

    with configured(**wired):
        asyncio.run(ask())
    return first[0]
