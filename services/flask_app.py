"""The Flask application: every handler blocks, and its worker's thread waits with it.

The lab's guard stands before it: a handler is only called for a valid request, with every parameter given.
"""

from collections.abc import Callable
from typing import TypeVar

from flask import Flask, Response, request

from services import contract, guard, health, settings
from services.workloads import blocking
from services.workloads.blocking import Answer

configure = settings.configure
unmeasured = contract.UNMEASURED

app = Flask("services.flask_app", static_folder=None)
app.json.sort_keys = False  # type: ignore[attr-defined]
app.config["PROPAGATE_EXCEPTIONS"] = True  # to the guard, which answers for every stack alike
door = guard.Door("flask")
app.wsgi_app = guard.Wsgi(app.wsgi_app, door)  # type: ignore[method-assign]
request_name = door.name

Handler = TypeVar("Handler", bound=Callable[..., Answer | Response])


def get(path: str) -> Callable[[Handler], Handler]:
    """Route GET `path` to a handler, which receives the validated parameters by name."""

    def route(handler: Handler) -> Handler:
        def view() -> Answer | Response:
            return handler(**request.environ[guard.VALUES])

        app.add_url_rule(path, handler.__name__, view)
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
def read(kb: int, cold: bool) -> Answer:
    return blocking.read(kb, cold)


@get("/sync/burn")
def burn(rounds: int, kind: str) -> Answer:
    return blocking.burn(rounds, kind)


@get("/sync/mixed")
def mixed(ms: int, rounds: int) -> Answer:
    return blocking.mixed(ms, rounds)


@get("/sync/profile")
def profile(ms: int) -> Answer:
    return blocking.profile(ms)


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
