"""The Flask application: whatever a handler does, its worker's thread waits with it.

sync     `def`, a blocking call
async    `async def`: Flask starts an event loop in another thread, for this request alone, and waits for that thread

The lab's guard stands before it: a handler is only called for a valid request, with every parameter given.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from flask import Flask, Response, request

from services import contract, guard, health, settings
from services.workloads import awaiting, blocking, streams
from services.workloads.blocking import Answer
from services.workloads.streams import EVENTS, LINES

configure = settings.configure
unmeasured = contract.UNMEASURED

app = Flask("services.flask_app", static_folder=None)
app.json.sort_keys = False  # type: ignore[attr-defined]
app.config["PROPAGATE_EXCEPTIONS"] = True  # to the guard, which answers for every stack alike
door = guard.Door("flask")
app.wsgi_app = guard.Wsgi(app.wsgi_app, door)  # type: ignore[method-assign]
request_name = door.name

Handler = TypeVar("Handler", bound=Callable[..., Any])


def get(path: str) -> Callable[[Handler], Handler]:
    """Route GET `path` to a handler, which receives the validated parameters by name."""

    def route(handler: Handler) -> Handler:
        def view() -> Any:
            return handler(**request.environ[guard.VALUES])

        async def async_view() -> Any:
            return await handler(**request.environ[guard.VALUES])

        app.add_url_rule(path, handler.__name__, async_view if inspect.iscoroutinefunction(handler) else view)
        return handler

    return route


@get("/sync/ping")
def ping() -> Answer:
    return blocking.ping()


@get("/sync/sleep")
def sleep(ms: int) -> Answer:
    return blocking.sleep(ms)


@get("/sync/query")
def query(ms: int, driver: str) -> Answer:
    return blocking.query(ms, driver)


@get("/sync/fetch")
def fetch(ms: int, client: str, tls: bool) -> Answer:
    return blocking.fetch(ms, client, tls)


@get("/sync/read")
def read(kb: int, cold: bool, ms: int) -> Answer:
    return blocking.read(kb, cold, ms)


@get("/sync/burn")
def burn(rounds: int, kind: str) -> Answer:
    return blocking.burn(rounds, kind)


@get("/sync/mixed")
def mixed(ms: int, rounds: int) -> Answer:
    return blocking.mixed(ms, rounds)


@get("/sync/profile")
def profile(ms: int) -> Answer:
    return blocking.profile(ms)


# async: one event loop a request, and two things at once on it


@get("/async/ping")
async def async_ping() -> Answer:
    return await awaiting.ping()


@get("/async/sleep")
async def async_sleep(ms: int) -> Answer:
    return await awaiting.sleep(ms)


@get("/async/burn")
async def async_burn(rounds: int, kind: str) -> Answer:
    return await awaiting.burn(rounds, kind)


@get("/async/mixed")
async def async_mixed(ms: int, rounds: int) -> Answer:
    return await awaiting.mixed(ms, rounds)


@get("/async/gather")
async def async_gather(of: str, ms: int, rounds: int) -> Answer:
    return await awaiting.gather(of, ms, rounds)


def long(answer: streams.Long[Iterator[bytes]]) -> Response:
    """The answer to send: whole, or in parts while its worker's thread waits between them."""
    return Response(answer.body, content_type=answer.content_type)


@get("/sync/stream")
def stream(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(streams.blocking(LINES, items, interval_ms, kb, buffered))


@get("/sync/sse")
def sse(items: int, interval_ms: int, kb: int, buffered: bool) -> Response:
    return long(streams.blocking(EVENTS, items, interval_ms, kb, buffered))


@get("/healthz")
def healthz() -> Answer:
    return health.alive()


@get("/readyz")
def readyz() -> Answer:
    return health.ready()


@get("/about")
def about() -> Answer:
    return health.about()


@get("/metrics")
def metrics() -> Response:
    body, content_type = health.metrics(request.headers.get("accept", ""))
    return Response(body, content_type=content_type)
